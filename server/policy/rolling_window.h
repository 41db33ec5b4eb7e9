// Counts of the last so many seconds.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace fetchd::server {

// kCounters counts over a rolling window, kept in ten buckets: an event is counted for at least nine and at most ten
// tenths of the window. A plain value of 4 * 11 * kCounters + 32 bytes; no allocation, no clock. A `now` earlier than
// one seen before counts as that one.
template <size_t kCounters>
class RollingWindow {
 public:
  static constexpr int kBuckets = 10;

  explicit RollingWindow(Duration window) : width_(std::max(window / kBuckets, Duration(1))) {}

  // Forgets what is too old. Call it before Count, total and covered.
  void Roll(Instant now) {
    if (now >= end_) Advance(now);
  }
  void Count(size_t counter) {
    ++buckets_[current_][counter];
    ++totals_[counter];
  }
  uint32_t total(size_t counter) const { return totals_[counter]; }
  // The time that the totals speak of: at most the window, less if the first event is younger.
  Duration covered(Instant now) const { return used_ == 0 ? Duration::zero() : now - end_ + width_ * used_; }
  // For viewers: what Roll would leave.
  RollingWindow At(Instant now) const {
    RollingWindow copy = *this;
    copy.Roll(now);
    return copy;
  }
  void Clear() { *this = RollingWindow(width_ * kBuckets); }
  Duration window() const { return width_ * kBuckets; }

 private:
  void Advance(Instant now) {
    if (used_ == 0 || now - end_ >= width_ * (kBuckets - 1)) {
      Clear();
      used_ = 1;
      end_ = After(now, width_);
      return;
    }
    while (now >= end_) {
      current_ = current_ + 1 == kBuckets ? uint8_t{0} : static_cast<uint8_t>(current_ + 1);
      for (size_t i = 0; i < kCounters; ++i) totals_[i] -= buckets_[current_][i];
      buckets_[current_].fill(0);
      used_ = static_cast<uint8_t>(std::min(used_ + 1, kBuckets));
      end_ += width_;
    }
  }

  Duration width_;
  // When the current bucket is full. The buckets stand in a ring; `used_` of them say something.
  Instant end_ = Instant::min();
  uint8_t current_ = 0;
  uint8_t used_ = 0;
  std::array<uint32_t, kCounters> totals_{};
  std::array<std::array<uint32_t, kCounters>, kBuckets> buckets_{};
};

}  // namespace fetchd::server
