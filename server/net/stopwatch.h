// How long phases take.
#pragma once

#include <optional>

#include "base/clock.h"

namespace fetchd::server {

// Adds how long a phase took, however the phase is left.
class Stopwatch {
 public:
  Stopwatch(const Clock& clock, std::optional<Duration>& out) : clock_(clock), begin_(clock.Now()), out_(out) {}
  ~Stopwatch() { out_ = out_.value_or(Duration::zero()) + (clock_.Now() - begin_); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  const Clock& clock_;
  Instant begin_;
  std::optional<Duration>& out_;
};

}  // namespace fetchd::server
