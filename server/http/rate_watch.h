// The least rate of a body.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace fetchd::server {

// Judges the mean rate of each 5 s of reading. Time passes only between OnReadBegins and OnRead, so waiting for the
// caller's credit does not count. A pure decision: told the time.
class RateWatch {
 public:
  static constexpr Duration kWindow = std::chrono::seconds(5);

  // 0: never fails.
  explicit RateWatch(uint64_t min_bytes_per_second)
      : needed_(min_bytes_per_second > UINT64_MAX / 5 ? UINT64_MAX : min_bytes_per_second * 5) {}

  bool enabled() const { return needed_ > 0; }
  // The body begins.
  void Start() { spent_ = Duration::zero(), bytes_ = 0; }
  // A read begins at `now`: the instant at which the rate is missed if nothing comes until then.
  Instant OnReadBegins(Instant now) {
    began_ = now;
    if (!enabled()) return kNever;
    // A window that has its bytes already passes, and the next one counts from its end.
    return now + (bytes_ >= needed_ ? 2 * kWindow : kWindow) - spent_;
  }
  // A read brought `n` bytes at `now`. False if a window ended with too few.
  bool OnRead(Instant now, uint64_t n) {
    if (!enabled()) return true;
    spent_ += now - began_;
    began_ = now;
    while (spent_ >= kWindow) {
      if (bytes_ < needed_) return false;
      bytes_ = 0;
      spent_ -= kWindow;
    }
    bytes_ += n;
    return true;
  }

 private:
  const uint64_t needed_;  // in a window
  Duration spent_{};
  uint64_t bytes_ = 0;
  Instant began_;
};

}  // namespace fetchd::server
