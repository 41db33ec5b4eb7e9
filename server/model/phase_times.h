// Where the time of an attempt went.
#pragma once

#include <optional>

#include "base/clock.h"

namespace fetchd::server {

// Time spent in each phase; nullopt if the attempt did not go through it (a reused connection has no connect phase).
struct PhaseTimes {
  std::optional<Duration> queue, dns, connect, tls, send, wait, receive;
};

}  // namespace fetchd::server
