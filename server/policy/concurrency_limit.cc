#include "policy/concurrency_limit.h"

#include <algorithm>
#include <cmath>

namespace fetchd::server {
namespace {

constexpr int kFirstLimit = 16;
constexpr size_t kLeastAnswers = 50;
// The median of so many is about 3 % off where latencies vary by a third: less than kTolerance.
constexpr size_t kUsualAnswers = 200;
constexpr Duration kLeastWindow = std::chrono::milliseconds(50);
// Of a window with more answers the last so many are kept.
constexpr size_t kMostLatencies = 256;
constexpr Duration kProbeEvery = std::chrono::seconds(30);
// Above the knee, so that a knee that moves up shows.
constexpr double kHeadroom = 1.08;
// Latencies less apart than this are the same.
constexpr double kTolerance = 1.05;
// A step of a probe that makes the origin faster by more than this is followed by another. Above the knee a step makes
// it twice as fast.
constexpr double kWorthAStep = 1.25;
// A limit that has sunk below this share of what it was makes a probe worth while.
constexpr double kSunk = 2.0 / 3;

double Ratio(Duration a, Duration b) { return static_cast<double>(a.count()) / static_cast<double>(b.count()); }

}  // namespace

ConcurrencyLimit::ConcurrencyLimit(const ConcurrencyOptions& options, int connections) {
  SetOptions(options, connections);
  Reset();
}

void ConcurrencyLimit::SetOptions(const ConcurrencyOptions& options, int connections) {
  const bool was_adaptive = options_.adaptive;
  options_ = options;
  most_ = std::max(1, options.max > 0 ? options.max : connections);
  if (!options.adaptive || !was_adaptive) {
    Reset();
    return;
  }
  learnt_ = Clamp(learnt_);
  if (probing()) probe_limit_ = Clamp(probe_limit_);
  limit_ = static_cast<int>(std::lround(probing() ? probe_limit_ : learnt_));
}

void ConcurrencyLimit::Reset() {
  learnt_ = options_.adaptive ? Clamp(kFirstLimit) : most_;
  limit_ = static_cast<int>(learnt_);
  probe_limit_ = 0;
  probe_latency_ = base_ = Duration::zero();
  next_probe_ = Instant{};
  grown_ = 0;
  highest_ = learnt_;
  begun_ = false;
}

double ConcurrencyLimit::Clamp(double limit) const {
  const double most = most_;
  return std::clamp(limit, std::min<double>(std::max(options_.min, 1), most), most);
}

void ConcurrencyLimit::Learn(const Sample& sample, Instant now) {
  if (!begun_) BeginWindow(now);
  if (older_ > 0) {
    // An attempt that began before the window has waited by another limit; and what ends while some of those are out
    // are the quick ones of this one. A tenth of them may hang.
    if (sample.result == Result::kAnswered && now - sample.latency >= began_) return;
    if (--older_ * 10 <= in_flight_) StartCounting(now);
    return;
  }
  reached_ = reached_ || in_flight_ >= limit_;
  if (sample.result == Result::kIgnored) return;
  if (sample.result == Result::kDropped) {
    ++dropped_;
  } else {
    if (latencies_.size() < kMostLatencies)
      latencies_.push_back(sample.latency);
    else
      latencies_[answered_ % kMostLatencies] = sample.latency;
    ++answered_;
    at_once_ += static_cast<uint64_t>(in_flight_);
  }
  const auto at_once = static_cast<size_t>(in_flight_);
  const size_t enough = std::max({kLeastAnswers, std::min(10 * at_once, kUsualAnswers), at_once});
  if (answered_ + dropped_ >= enough && now - began_ >= kLeastWindow) EndWindow(now);
}

void ConcurrencyLimit::BeginWindow(Instant now) {
  begun_ = true;
  StartCounting(now);
  // Learn is called before the attempt that ends is out.
  older_ = in_flight_ - 1;
}

void ConcurrencyLimit::StartCounting(Instant now) {
  older_ = 0;
  began_ = now;
  latencies_.clear();
  answered_ = dropped_ = 0;
  at_once_ = 0;
  reached_ = false;
}

void ConcurrencyLimit::EndWindow(Instant now) {
  if (dropped_ * 10 >= answered_ + dropped_) {
    // What is dropped says nothing about latency.
    probe_limit_ = 0;
    learnt_ = Clamp(learnt_ * 0.8);
    grown_ = 0;
  } else {
    const auto middle = latencies_.begin() + static_cast<std::ptrdiff_t>(latencies_.size() / 2);
    std::nth_element(latencies_.begin(), middle, latencies_.end());
    const Duration latency = std::max(*middle, Duration(1));
    if (probing())
      EndProbeStep(latency, now);
    else
      Follow(latency, static_cast<double>(at_once_) / static_cast<double>(answered_), now);
  }
  limit_ = static_cast<int>(std::lround(probing() ? probe_limit_ : learnt_));
  BeginWindow(now);
}

void ConcurrencyLimit::EndProbeStep(Duration latency, Instant now) {
  const double lower = Clamp(probe_limit_ / 2);
  // A whole step must make a difference to be worth another.
  if (Ratio(probe_latency_, latency) > kWorthAStep && std::lround(lower) < std::lround(probe_limit_)) {
    probe_latency_ = latency;
    probe_limit_ = lower;
    return;
  }
  base_ = latency;
  probe_limit_ = 0;
  next_probe_ = After(now, kProbeEvery);
  grown_ = 0;
  highest_ = learnt_;
}

void ConcurrencyLimit::Follow(Duration latency, double at_once, Instant now) {
  const double lower = Clamp(learnt_ / 2);
  if ((base_ == Duration::zero() || now >= next_probe_ || learnt_ < highest_ * kSunk) && reached_) {
    if (std::lround(lower) < std::lround(learnt_)) {
      probe_latency_ = latency;
      probe_limit_ = lower;
      return;
    }
    // There is nothing lower to probe: this is as fast as it is allowed to get.
    base_ = latency;
    next_probe_ = After(now, kProbeEvery);
    highest_ = learnt_;
  }
  if (base_ == Duration::zero()) return;
  const double slower = Ratio(latency, base_);
  // Half of the way, as chance makes some windows quick.
  if (slower < 1 / kTolerance) base_ = (base_ + latency) / 2;
  if (slower > kTolerance) {
    grown_ = 0;
    // Few attempts at once that are slow for once say nothing about many.
    if (at_once < learnt_ / 2) return;
    learnt_ = Clamp(std::min(at_once / slower, learnt_) * kHeadroom);
    highest_ = std::max(highest_, learnt_);
    return;
  }
  // Whether more would be good shows only where all that may go do.
  if (!reached_) return;
  const double step = std::min(std::pow(kHeadroom, 1 << std::min(grown_, 3)), 2.0);
  ++grown_;
  learnt_ = Clamp(std::max(learnt_ * step, learnt_ + 0.5));
  highest_ = std::max(highest_, learnt_);
}

}  // namespace fetchd::server
