#include "fetch/admission.h"

#include <algorithm>

#include "absl/hash/hash.h"

namespace fetchd::server {
namespace {

constexpr Duration kLeastRetryAfter = std::chrono::milliseconds(100);
constexpr Duration kMostRetryAfter = std::chrono::seconds(5);
// What the rate is measured over, at least.
constexpr Duration kMeasured = std::chrono::milliseconds(200);

}  // namespace

CallerCounts::Shard& CallerCounts::ShardOf(std::string_view caller) {
  return shards_[absl::HashOf(std::string(caller)) % kShards];
}

bool CallerCounts::Add(std::string_view caller, int64_t n, int64_t limit) {
  Shard& shard = ShardOf(caller);
  const std::lock_guard lock(shard.mutex);
  int64_t& count = shard.counts[std::string(caller)];
  // A count of 0 was made just now, and is admitted.
  if (count > 0 && count + n > limit) return false;
  count += n;
  return true;
}

void CallerCounts::Remove(std::string_view caller, int64_t n) {
  Shard& shard = ShardOf(caller);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.counts.find(std::string(caller));
  if (found == shard.counts.end()) return;
  found->second -= n;
  if (found->second <= 0) shard.counts.erase(found);
}

int64_t CallerCounts::Of(std::string_view caller) {
  Shard& shard = ShardOf(caller);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.counts.find(std::string(caller));
  return found == shard.counts.end() ? 0 : found->second;
}

int64_t Admission::Share(int64_t limit, Priority priority) {
  switch (priority) {
    case Priority::kInteractive:
      return limit;
    case Priority::kNormal:
      return limit - limit / 20;
    case Priority::kBulk:
      return limit - limit / 5;
  }
  return limit;
}

Admission::Verdict Admission::Admit(const Request& request, Permit& permit) {
  const Verdict verdict = Try(request, permit);
  if (verdict != Verdict::kAdmitted) {
    auto& refused = refused_[static_cast<size_t>(verdict)][static_cast<size_t>(request.priority)];
    refused.fetch_add(1, std::memory_order_relaxed);
  }
  return verdict;
}

Admission::Verdict Admission::Try(const Request& request, Permit& permit) {
  if (draining()) return Verdict::kDraining;
  if (options_.max_body_bytes > 0 && request.body_bytes >= Share(options_.max_body_bytes, request.priority))
    return Verdict::kTooManyBytes;
  const int64_t most = Share(options_.max_in_flight, request.priority);
  int64_t before = in_flight_.load(std::memory_order_relaxed);
  do {
    if (before > 0 && before + request.fetches > most) return Verdict::kTooMany;
  } while (!in_flight_.compare_exchange_weak(before, before + request.fetches, std::memory_order_acq_rel));
  const bool limits_callers = options_.max_in_flight_per_caller > 0;
  if (limits_callers && !callers_.Add(request.caller, request.fetches, options_.max_in_flight_per_caller)) {
    in_flight_.fetch_sub(request.fetches, std::memory_order_acq_rel);
    return Verdict::kTooManyOfCaller;
  }
  permit = Permit(this, request.fetches, limits_callers ? std::string(request.caller) : std::string());
  return Verdict::kAdmitted;
}

Duration Admission::RetryAfter(const Request& request, Instant now) {
  const std::lock_guard lock(mutex_);
  const int64_t ended = ended_.load(std::memory_order_relaxed);
  if (now - measured_at_ >= kMeasured) {
    // After a long time without refusals the mean of that time says little, but it is all there is.
    per_second_ = static_cast<double>(ended - measured_ended_) / ToSeconds(now - measured_at_);
    measured_at_ = now;
    measured_ended_ = ended;
  }
  const int64_t excess =
      std::max<int64_t>(1, in_flight() + request.fetches - Share(options_.max_in_flight, request.priority));
  double seconds = 1;
  if (per_second_ > 0) seconds = static_cast<double>(excess) / per_second_;
  seconds =
      std::clamp(seconds, ToSeconds(kLeastRetryAfter), ToSeconds(kMostRetryAfter) / 2) * (1 + random_.NextDouble());
  return Duration(static_cast<int64_t>(seconds * 1e9));
}

}  // namespace fetchd::server
