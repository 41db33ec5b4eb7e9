// How many attempts per second may go.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace fetchd::server {

struct RateLimitOptions {
  // Attempts per second, 0.001 to 1,000,000; 0: no limit.
  double per_second = 0;
  // So many may go at once after a pause, 1 to 1,000,000.
  int burst = 1;
  bool operator==(const RateLimitOptions&) const = default;
};

// A rate limit that answers when: GCRA (ITU-T I.371), a leaky bucket that is one instant. In any span of time t no more
// than burst + per_second * t attempts are taken (t counted to a nanosecond), and none is lost: an interval is counted
// in parts of 2^-32 ns. For an origin, or for a caller at an origin; its owner's thread only. 48 bytes.
class RateLimit {
 public:
  explicit RateLimit(const RateLimitOptions& options) { Configure(options); }

  bool limited() const { return interval_ != 0; }
  // When the next attempt conforms. `now` or earlier: at once.
  Instant Next(Instant now) const {
    if (interval_ == 0) return now;
    return Due(now, full_at_, full_at_part_);
  }
  // When the next one conforms after `queued` others that all go as soon as they may.
  Instant NextAfter(uint64_t queued, Instant now) const;
  // An attempt goes; ask Next first, as this one does not refuse. For one that waited and whose timer came late, pass
  // Next(now - slack) instead of `now`: it then counts as of when it was due, and so much lateness costs nothing.
  void Take(Instant now) {
    if (interval_ != 0) Charge(now);
  }
  // Nothing is owed: a limit that is forgotten now and made anew later would decide the same.
  bool idle(Instant now) const { return interval_ == 0 || full_at_ <= now; }
  // Attempts that may go at once, at most the burst; for viewers. The burst if there is no limit.
  int available(Instant now) const;
  const RateLimitOptions& options() const { return options_; }
  // What was taken stays taken: who must wait for n intervals waits for n of the new ones.
  void SetOptions(const RateLimitOptions& options, Instant now);

 private:
  void Configure(const RateLimitOptions& options);
  void Charge(Instant now);
  // When one conforms if the burst is full again at that instant.
  Instant Due(Instant now, Instant full_at, uint32_t part) const {
    Instant due = full_at - Duration(tolerance_) + Duration(part != 0 ? 1 : 0);
    return due > now ? due : now;
  }

  RateLimitOptions options_;
  // Between two attempts: whole ns, and parts of 2^-32 ns. 0: no limit.
  int64_t interval_ = 0;
  uint32_t interval_part_ = 0;
  // When the burst is full again ("theoretical arrival time").
  uint32_t full_at_part_ = 0;
  Instant full_at_{};
  // (burst - 1) intervals.
  int64_t tolerance_ = 0;
};

}  // namespace fetchd::server
