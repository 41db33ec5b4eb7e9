#include "policy/origin_hold.h"

#include <algorithm>

namespace fetchd::server {
namespace {

// A slot that nobody took for so long, and its interval, shows that nobody waits. Longer than a thread is ever late.
constexpr Duration kUntaken = std::chrono::milliseconds(100);

// How long a rate holds that grows.
constexpr Duration kStep = std::chrono::seconds(1);

}  // namespace

void OriginHold::Learn(Duration wait, Instant now) {
  if (wait <= Duration::zero()) return;
  Instant until = After(now, std::min(wait, kLongestHold));
  if (active_ && until <= until_) return;
  if (!active_ || now >= until_) {
    if (active_ && now < paced_until_) {
      SetPace(std::max(pace_ / 2, kLeastPace));
      unsure_ = false;
    } else {
      window_.Roll(now);
      Duration covered = std::max<Duration>(window_.covered(now), std::chrono::seconds(1));
      SetPace(std::max(window_.total(0) / ToSeconds(covered), kLeastPace));
      unsure_ = pace_ < kUnsurePace;
    }
  }
  active_ = true;
  until_ = base_ = until;
  paced_until_ = until + (unsure_ ? kStep : kSteadyPacing);
  growths_left_ = kGrowths;
  DrawSlot();
}

Instant OriginHold::NextAfter(uint64_t queued, Instant now) const {
  if (!active_) return now;
  Instant first = std::max(slot_, now);
  // Fewer than fit into the pacing, so that nothing overflows.
  int64_t before = static_cast<int64_t>(std::min(queued, static_cast<uint64_t>(kSteadyPacing / interval_) + 1));
  return std::min(first + interval_ * before, std::max(paced_until_, first));
}

void OriginHold::NextSlot(Instant now) {
  const bool grows = now >= paced_until_;
  if (now > slot_ + interval_ + kUntaken || (grows && growths_left_ == 0)) {
    active_ = false;
    return;
  }
  if (grows && unsure_) {
    SetPace(std::min(pace_ * 2, kUnsurePace));
    unsure_ = pace_ < kUnsurePace;
    paced_until_ = now + (unsure_ ? kStep : kSteadyPacing);
  } else if (grows) {
    --growths_left_;
    paced_until_ = now + kStep;
    SetPace(pace_ * kGrowth);
  }
  base_ = std::max(base_ + interval_, now - kCatchUp);
  DrawSlot();
}

void OriginHold::SetPace(double pace) {
  pace_ = pace;
  interval_ = Duration(static_cast<int64_t>(1e9 / pace) + 1);
}

void OriginHold::DrawSlot() {
  slot_ = base_ + Duration(static_cast<int64_t>(random_.NextDouble() * static_cast<double>(interval_.count())));
}

void OriginHold::Reset() {
  active_ = false;
  until_ = Instant{};
  window_.Clear();
}

}  // namespace fetchd::server
