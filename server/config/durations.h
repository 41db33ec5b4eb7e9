// Durations of the config proto as values.
#pragma once

#include <google/protobuf/duration.pb.h>

#include "base/clock.h"
#include "model/request.h"

namespace fetchd::server {

inline Duration ToDuration(const google::protobuf::Duration& d) {
  return std::chrono::seconds(d.seconds()) + std::chrono::nanoseconds(d.nanos());
}

// Of DefaultTimeouts or TimeoutCaps.
template <typename Message>
Timeouts MakeTimeouts(const Message& m) {
  return {.total = ToDuration(m.total()),
          .attempt = ToDuration(m.attempt()),
          .queue = ToDuration(m.queue()),
          .dns = ToDuration(m.dns()),
          .connect = ToDuration(m.connect()),
          .tls = ToDuration(m.tls()),
          .send_idle = ToDuration(m.send_idle()),
          .first_byte = ToDuration(m.first_byte()),
          .between_bytes = ToDuration(m.between_bytes()),
          .min_bytes_per_second = 0};
}

}  // namespace fetchd::server
