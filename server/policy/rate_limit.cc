#include "policy/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace fetchd::server {
namespace {

constexpr double kPartsPerNano = 4294967296.0;
constexpr double kSlowest = 0.001;
constexpr double kFastest = 1e6;
constexpr int kMostBurst = 1'000'000;
// About 100 years: what is further away never comes.
constexpr int64_t kFarthest = int64_t{3'000'000'000} * 1'000'000'000;

// n intervals in whole ns, rounded up.
int64_t Times(uint64_t n, int64_t interval, uint32_t part) {
  constexpr uint64_t kMost = uint64_t{1} << 32;
  if (n >= kMost) return kFarthest;
  uint64_t parts = n * part;
  int64_t whole;
  if (__builtin_mul_overflow(static_cast<int64_t>(n), interval, &whole)) return kFarthest;
  if (__builtin_add_overflow(whole, static_cast<int64_t>(parts >> 32) + ((parts & (kMost - 1)) != 0 ? 1 : 0), &whole))
    return kFarthest;
  return std::min(whole, kFarthest);
}

}  // namespace

void RateLimit::Configure(const RateLimitOptions& options) {
  options_ = options;
  interval_ = tolerance_ = 0;
  interval_part_ = 0;
  if (!(options.per_second > 0)) return;
  double interval = 1e9 / std::clamp(options.per_second, kSlowest, kFastest);
  double whole = std::floor(interval);
  interval_ = static_cast<int64_t>(whole);
  // Rounded up, so that it never gives more than asked. A fraction of 1 less 2^-53 would round to a whole.
  double part = std::ceil((interval - whole) * kPartsPerNano);
  if (part >= kPartsPerNano) {
    ++interval_;
  } else {
    interval_part_ = static_cast<uint32_t>(part);
  }
  uint64_t spare = static_cast<uint64_t>(std::clamp(options.burst, 1, kMostBurst)) - 1;
  // Rounded down, for the same reason.
  tolerance_ = static_cast<int64_t>(spare) * interval_ + static_cast<int64_t>((spare * interval_part_) >> 32);
}

Instant RateLimit::NextAfter(uint64_t queued, Instant now) const {
  if (interval_ == 0) return now;
  Instant base = std::max(full_at_, now);
  uint32_t part = full_at_ >= now ? full_at_part_ : 0;
  return Due(now, After(base, Duration(Times(queued, interval_, interval_part_))), part);
}

void RateLimit::Charge(Instant now) {
  // Who goes at the first whole nanosecond after it is on time.
  if (full_at_ + Duration(full_at_part_ != 0 ? 1 : 0) < now) {
    full_at_ = now;
    full_at_part_ = 0;
  }
  uint32_t part = full_at_part_ + interval_part_;
  full_at_ += Duration(interval_ + (part < full_at_part_ ? 1 : 0));
  full_at_part_ = part;
}

int RateLimit::available(Instant now) const {
  int burst = std::clamp(options_.burst, 1, kMostBurst);
  if (interval_ == 0 || full_at_ <= now) return burst;
  int64_t room = tolerance_ - (full_at_ - now).count() - (full_at_part_ != 0 ? 1 : 0);
  if (room < 0) return 0;
  double interval = static_cast<double>(interval_) + static_cast<double>(interval_part_) / kPartsPerNano;
  return std::min(burst, static_cast<int>(static_cast<double>(room) / interval) + 1);
}

void RateLimit::SetOptions(const RateLimitOptions& options, Instant now) {
  if (options == options_) return;
  Duration owed = full_at_ > now ? full_at_ - now : Duration::zero();
  double before = static_cast<double>(interval_);
  Configure(options);
  if (owed == Duration::zero() || before == 0) return;
  double intervals = static_cast<double>(owed.count()) / before;
  full_at_ = After(now, Duration(static_cast<int64_t>(
                            std::min(intervals * static_cast<double>(interval_), static_cast<double>(kFarthest)))));
  full_at_part_ = 0;
}

}  // namespace fetchd::server
