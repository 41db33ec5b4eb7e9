// What an origin asked of all its callers: to leave it alone for a while.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/random.h"
#include "policy/rolling_window.h"

namespace fetchd::server {

// Learnt once, by whoever was told (Retry-After, RateLimit fields: see rate_limit_headers.h), and kept by every caller:
// no attempt goes before the hold ends. After it, those who waited go one by one and not all at once: at the rate at
// which the origin answered well just before, 1 per second or more, each at a random instant of its interval. After
// kSteadyPacing that rate grows by a quarter each second, so that those who still wait do not all go at once. The
// pacing ends when nobody waits any more, after kGrowths such steps at the latest. If the origin asks again during that
// time, the rate is halved.
//
// A rate of less than kUnsurePace was rather what callers wanted than what the origin allows. Such a one is doubled
// each second until it is that high, unless the origin asks again.
//
// One for each origin; its owner's thread only.
class OriginHold {
 public:
  // A longer hold is cut to this.
  static constexpr Duration kLongestHold = std::chrono::seconds(60);
  static constexpr Duration kSteadyPacing = std::chrono::seconds(10);
  static constexpr double kGrowth = 1.25;
  static constexpr int kGrowths = 20;
  static constexpr double kLeastPace = 1;
  static constexpr double kUnsurePace = 10;
  // What the rate before the hold is measured over.
  static constexpr Duration kWindow = std::chrono::seconds(10);
  // Lateness of timers that is made good while paced.
  static constexpr Duration kCatchUp = std::chrono::milliseconds(50);

  // `seed`: of the jitter.
  explicit OriginHold(uint64_t seed) : window_(kWindow), random_(seed) {}

  // The origin asked for `wait` from now. The hold that ends later counts; 0 or less says nothing.
  void Learn(Duration wait, Instant now);
  // The origin answered well.
  void OnSuccess(Instant now) {
    window_.Roll(now);
    window_.Count(0);
  }
  // Is there anything to ask Next for? A hold ends being active with a Take that finds it over.
  bool active() const { return active_; }
  // When the next attempt may go. `now` or earlier: at once.
  Instant Next(Instant now) const {
    if (!active_ || slot_ <= now) return now;
    return slot_;
  }
  // When the next one may go after `queued` others, at the earliest.
  Instant NextAfter(uint64_t queued, Instant now) const;
  // An attempt goes now, or went for one that was due at `now`; ask Next first.
  void Take(Instant now) {
    if (active_) NextSlot(now);
  }
  // Forgets the hold and the rate.
  void Reset();

  // The end of the hold: later than now if the origin is held. The epoch if it never was.
  Instant until() const { return until_; }
  // Attempts per second after the hold. Read only while active.
  double pace() const { return pace_; }

 private:
  void NextSlot(Instant now);
  void DrawSlot();
  void SetPace(double pace);

  // Good answers.
  RollingWindow<1> window_;
  Random random_;
  bool active_ = false;
  double pace_ = kLeastPace;
  Duration interval_{};
  Instant until_{};
  // When the rate grows.
  Instant paced_until_{};
  int growths_left_ = 0;
  // The rate was low, and is being doubled.
  bool unsure_ = false;
  // The next attempt after the hold: its interval begins at base_, and it goes at slot_.
  Instant base_{};
  Instant slot_{};
};

}  // namespace fetchd::server
