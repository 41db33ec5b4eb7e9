// Where the time of an attempt went.
#pragma once

#include <optional>

#include "base/clock.h"

namespace fetchd::server {

// Time spent in each phase; nullopt if the attempt did not go through it (a reused connection has no connect phase).
struct PhaseTimes {
  std::optional<Duration> queue, dns, connect, proxy, tls, send, wait, receive;
};

// From when an attempt left the queue to when its answer began, or it failed: what tells how well an origin does.
inline Duration TimeToAnswer(const PhaseTimes& phases) {
  Duration time{};
  for (const std::optional<Duration>* phase :
       {&phases.dns, &phases.connect, &phases.proxy, &phases.tls, &phases.send, &phases.wait})
    if (phase->has_value()) time += **phase;
  return time;
}

}  // namespace fetchd::server
