// When a second attempt is sent beside a slow one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "model/request.h"

namespace fetchd::server {

// The latency that 95 % of an origin's answers stay under, of about the last 2,000. A histogram with eight buckets for
// each doubling from 1 us to 19 hours; what it says is the upper end of a bucket, at most an eighth too much. Adding
// costs a few instructions, whatever was added before. State of its owner's thread; a plain value of 600 bytes.
class LatencyEstimate {
 public:
  // Before so many answers there is no estimate.
  static constexpr uint32_t kLeastAnswers = 100;

  void Add(Duration latency);
  std::optional<Duration> p95() const;

 private:
  // At 2,048 answers all counts are halved.
  static constexpr uint32_t kHalveAt = 2048;
  static constexpr size_t kBuckets = 288;

  static size_t BucketOf(Duration latency);
  static Duration UpperEnd(size_t bucket);
  // Moves `bucket_` to where at most 5 % are above it, and more than 5 % are in it or above it.
  void Settle();
  void Halve();

  std::array<uint16_t, kBuckets> counts_{};
  uint32_t answers_ = 0;
  // The bucket of the estimate, and how many answers are above it.
  size_t bucket_ = 0;
  uint32_t above_ = 0;
};

// How long the first attempt may take before another one is sent: what the options say, or the origin's p95. nullopt:
// there will be none, as hedging is off or too few answers are known. Whether the request may be sent twice at all, and
// the retry budget, are for the caller to ask.
std::optional<Duration> HedgeDelay(const HedgeOptions& options, const LatencyEstimate& estimate);

}  // namespace fetchd::server
