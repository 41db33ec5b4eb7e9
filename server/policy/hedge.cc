#include "policy/hedge.h"

#include <algorithm>
#include <bit>

namespace fetchd::server {

// Microseconds 0 to 7 have a bucket each; then the upper four bits of the number tell.
size_t LatencyEstimate::BucketOf(Duration latency) {
  if (latency < std::chrono::microseconds(8)) {
    return latency <= Duration::zero() ? 0 : static_cast<size_t>(latency.count() / 1000);
  }
  const auto us = static_cast<uint64_t>(latency.count() / 1000);
  const int shift = std::bit_width(us) - 4;
  return std::min(static_cast<size_t>(shift) * 8 + static_cast<size_t>(us >> shift), kBuckets - 1);
}

Duration LatencyEstimate::UpperEnd(size_t bucket) {
  if (bucket < 8) return std::chrono::microseconds(bucket + 1);
  const size_t shift = bucket / 8 - 1;
  return std::chrono::microseconds((bucket % 8 + 9) << shift);
}

void LatencyEstimate::Add(Duration latency) {
  const size_t bucket = BucketOf(latency);
  ++counts_[bucket];
  above_ += bucket > bucket_;
  if (++answers_ == kHalveAt) Halve();
  Settle();
}

std::optional<Duration> LatencyEstimate::p95() const {
  if (answers_ < kLeastAnswers) return std::nullopt;
  return UpperEnd(bucket_);
}

void LatencyEstimate::Settle() {
  const uint32_t most_above = answers_ / 20;
  while (above_ > most_above) above_ -= counts_[++bucket_];
  while (bucket_ > 0 && above_ + counts_[bucket_] <= most_above) above_ += counts_[bucket_--];
}

void LatencyEstimate::Halve() {
  answers_ = above_ = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    counts_[i] /= 2;
    answers_ += counts_[i];
    if (i > bucket_) above_ += counts_[i];
  }
}

std::optional<Duration> HedgeDelay(const HedgeOptions& options, const LatencyEstimate& estimate) {
  if (!options.enabled) return std::nullopt;
  if (options.delay > Duration::zero()) return options.delay;
  return estimate.p95();
}

}  // namespace fetchd::server
