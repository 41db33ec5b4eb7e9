// Time that stands still.
#pragma once

#include "base/clock.h"

namespace fetchd::server {

// A Clock that moves only when told. Not thread-safe.
class FakeClock final : public Clock {
 public:
  Instant Now() const override { return now_; }
  WallTime WallNow() const override { return wall_; }
  void Advance(Duration d) {
    now_ += d;
    wall_ += d;
  }

 private:
  Instant now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::seconds(1'700'000'000)};
};

}  // namespace fetchd::server
