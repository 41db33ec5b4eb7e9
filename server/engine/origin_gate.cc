#include "engine/origin_gate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

// How late a timer may run without the rate suffering: an attempt that waited counts as sent when it was due.
constexpr Duration kTimerSlack = std::chrono::milliseconds(10);

}  // namespace

std::string OriginGate::Forecast::Text(Instant now) const {
  if (at <= now) return absl::StrCat("others come first (", std::string(rule), ")");
  return absl::StrCat("not before ", ToSeconds(at - now), " s from now (", std::string(rule), ")");
}

OriginGate::OriginGate(const OriginPolicy& policy, int connections, const Clock& clock, TimerQueue& timers,
                       ThreadMetrics& metrics, uint64_t seed)
    : clock_(clock),
      metrics_(metrics),
      hold_(seed),
      rate_(policy.rate_limit),
      concurrency_(policy.concurrency, connections),
      timer_(timers, [this] { Pump(clock_.Now()); }) {
  SetPolicy(policy, connections, clock_.Now());
}

void OriginGate::SetPolicy(const OriginPolicy& policy, int connections, Instant now) {
  rate_.SetOptions(policy.rate_limit, now);
  concurrency_.SetOptions(policy.concurrency, connections);
  caller_rate_ = policy.caller_rate_limit;
  per_caller_ = policy.concurrency.per_caller;
  for (auto& [caller, share] : shares_) share->rate.SetOptions(caller_rate_, now);
  // Who is inside by the old rules has no share to leave from, so once callers were told apart they stay so.
  apart_ = apart_ || caller_rate_.per_second > 0 || per_caller_ > 0;
  timed_ = rate_.limited() || hold_.active();
  Pump(now);
}

bool OriginGate::TryEnterSlowly(const FetchSpec& spec, Instant now) {
  if (waiting_ > 0) return false;
  if (timed_ && Shared(now).at > now) return false;
  if (apart_ && Apart(ShareOf(spec.caller), now).at > now) return false;
  if (!concurrency_.TryAcquire()) return false;
  Take(spec, now);
  return true;
}

OriginGate::Forecast OriginGate::Shared(Instant now) const {
  Forecast forecast{.at = now, .rule = "concurrency"};
  if (const Instant at = hold_.Next(now); at > forecast.at) forecast = {.at = at, .rule = "hold"};
  if (const Instant at = rate_.Next(now); at > forecast.at) forecast = {.at = at, .rule = "rate_limit"};
  return forecast;
}

OriginGate::Forecast OriginGate::Apart(const Share& share, Instant now) const {
  if (per_caller_ > 0 && share.in_flight >= per_caller_) return {.at = kNever, .rule = "caller_concurrency"};
  return {.at = std::max(now, share.rate.Next(now)), .rule = "caller_rate_limit"};
}

OriginGate::Forecast OriginGate::Earliest(const FetchSpec& spec, Instant now) {
  Forecast forecast = Shared(now);
  // Of those who wait, at least the caller's own come first.
  const size_t own = queue_.waiting(spec.caller, spec.priority);
  if (const Instant at = rate_.NextAfter(own, now); at > forecast.at) forecast = {.at = at, .rule = "rate_limit"};
  if (const Instant at = hold_.NextAfter(own, now); at > forecast.at) forecast = {.at = at, .rule = "hold"};
  if (!apart_) return forecast;
  const auto found = shares_.find(spec.caller);
  if (found == shares_.end()) return forecast;
  const Share& share = *found->second;
  if (const Instant at = share.rate.NextAfter(static_cast<size_t>(share.waiting), now); at > forecast.at)
    forecast = {.at = at, .rule = "caller_rate_limit"};
  if (forecast.at <= now && per_caller_ > 0 && share.in_flight >= per_caller_) forecast.rule = "caller_concurrency";
  return forecast;
}

OriginGate::Share& OriginGate::ShareOf(const std::string& caller) {
  std::unique_ptr<Share>& share = shares_[caller];
  if (share == nullptr) share = std::make_unique<Share>(caller_rate_);
  Share& found = *share;
  if (shares_.size() > sweep_at_) Sweep(&found);
  return found;
}

void OriginGate::Sweep(const Share* keep) {
  const Instant now = clock_.Now();
  absl::erase_if(shares_, [&](const auto& entry) { return entry.second.get() != keep && entry.second->idle(now); });
  sweep_at_ = std::max(kLeastSweep, 2 * shares_.size());
}

void OriginGate::DropIfIdle(const std::string& caller, Instant now) {
  const auto found = shares_.find(caller);
  if (found == shares_.end()) return;
  if (found->second->idle(now)) shares_.erase(found);
}

void OriginGate::Take(const FetchSpec& spec, Instant due) {
  if (timed_) {
    rate_.Take(due);
    hold_.Take(due);
    timed_ = rate_.limited() || hold_.active();
  }
  if (!apart_) return;
  Share& share = ShareOf(spec.caller);
  share.rate.Take(due);
  ++share.in_flight;
}

bool OriginGate::MayWait(const FetchSpec& spec, size_t max_queue) const {
  if (waiting_ < max_queue) return true;
  size_t callers = 1;
  for (const Priority priority : {Priority::kInteractive, Priority::kNormal, Priority::kBulk})
    callers += queue_.callers(priority);
  return waiting_ < max_queue + max_queue / 2 && queue_.waiting(spec.caller, spec.priority) < max_queue / (2 * callers);
}

void OriginGate::Push(GateWaiter& waiter, Instant now) {
  queue_.Push(waiter, waiter.spec.caller, waiter.spec.weight, waiter.spec.priority);
  ++waiting_;
  metrics_.queue_waiting.Add(1);
  if (apart_) ++ShareOf(waiter.spec.caller).waiting;
  Pump(now);
}

void OriginGate::Unqueue(GateWaiter& waiter) {
  queue_.Remove(waiter);
  --waiting_;
  metrics_.queue_waiting.Add(-1);
  if (!apart_) return;
  const auto found = shares_.find(waiter.spec.caller);
  if (found != shares_.end() && found->second->waiting > 0) --found->second->waiting;
}

void OriginGate::Remove(GateWaiter& waiter, Instant now) {
  Unqueue(waiter);
  DropIfIdle(waiter.spec.caller, now);
}

void OriginGate::Leave(const FetchSpec& spec, ConcurrencyLimit::Sample sample, Instant now) {
  concurrency_.Release(sample, now);
  if (apart_) {
    const auto found = shares_.find(spec.caller);
    if (found != shares_.end() && found->second->in_flight > 0) --found->second->in_flight;
    DropIfIdle(spec.caller, now);
  }
  if (waiting_ > 0) Pump(now);
}

void OriginGate::RefuseAll(const Failure& failure, Instant retry_at, Instant now) {
  while (FairQueue::Node* node = queue_.Next([](const FairQueue::Node&) { return true; })) {
    auto& waiter = static_cast<GateWaiter&>(*node);
    Remove(waiter, now);
    waiter.refused = failure;
    waiter.retry_at = retry_at;
    waiter.event.Set();
  }
}

void OriginGate::Pump(Instant now) {
  while (waiting_ > 0) {
    if (!concurrency_.HasRoom()) return;  // Leave comes back
    if (timed_) {
      if (const Instant at = Shared(now).at; at > now) {
        timer_.Arm(at);
        return;
      }
    }
    Instant earliest = kNever;
    FairQueue::Node* node = queue_.Next([&](const FairQueue::Node& candidate) {
      if (!apart_) return true;
      const Instant at = Apart(ShareOf(static_cast<const GateWaiter&>(candidate).spec.caller), now).at;
      earliest = std::min(earliest, at);
      return at <= now;
    });
    if (node == nullptr) {
      timer_.Arm(earliest);
      return;
    }
    auto& waiter = static_cast<GateWaiter&>(*node);
    Unqueue(waiter);
    concurrency_.TryAcquire();
    // A timer that was late must not make the rate lower.
    Take(waiter.spec, std::max(now - kTimerSlack, rate_.Next(now - kTimerSlack)));
    waiter.entered = true;
    waiter.event.Set();
  }
}

void OriginGate::Hold(Duration wait, Instant now) {
  hold_.Learn(wait, now);
  timed_ = true;
  if (waiting_ > 0) Pump(now);
}

void OriginGate::Reset(Instant now) {
  hold_.Reset();
  concurrency_.Reset();
  timed_ = rate_.limited();
  Pump(now);
}

}  // namespace fetchd::server
