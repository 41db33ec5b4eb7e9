#include "engine/origin_snapshot.h"

#include <cstdlib>

#include "engine/origin_state.h"

namespace fetchd::server {
namespace {

bool Same(const std::optional<WallTime>& a, const std::optional<WallTime>& b) {
  if (a.has_value() != b.has_value()) return false;
  return !a || std::chrono::abs(*a - *b) <= std::chrono::milliseconds(1);
}

}  // namespace

OriginSnapshot TakeSnapshot(const OriginState& origin, const Clock& clock) {
  const Instant now = clock.Now();
  const WallTime wall_now = clock.WallNow();
  const auto civil = [&](Instant at) { return wall_now + (at - now); };
  const auto later = [&](Instant at) { return at > now && at < kNever ? std::make_optional(civil(at)) : std::nullopt; };

  OriginSnapshot out;
  out.name = origin.origin.ToString();
  const OriginBrain& brain = origin.brain;
  out.rule = brain.rule;

  const OriginConnections& connections = origin.connections;
  out.open = connections.open;
  out.idle = connections.idle.size();
  out.active = out.open - out.idle;
  out.waiting_for_connection = connections.waiters.size();

  const CircuitBreaker& breaker = brain.breaker;
  out.breaker = breaker.state(now);
  out.forced = breaker.manual() != CircuitBreaker::Manual::kNone;
  if (out.breaker == BreakerState::kOpen) out.retry_at = later(breaker.retry_at());
  out.consecutive_failures = breaker.consecutive_failures();
  out.counts = breaker.counts(now);
  out.trials_in_flight = breaker.trials_in_flight();

  const OriginGate& gate = brain.gate;
  const RateLimit& rate = gate.rate_limit();
  out.per_second = rate.options().per_second;
  out.burst = rate.options().burst;
  out.next_at = later(rate.Next(now));
  out.limit = gate.concurrency().limit();
  out.in_flight = gate.concurrency().in_flight();
  out.adaptive = gate.concurrency().adaptive();
  for (size_t i = 0; i < out.queued.size(); ++i) {
    const auto priority = static_cast<Priority>(i);
    out.queued[i] = gate.queue().size(priority);
    out.callers += gate.queue().callers(priority);
  }
  out.hold_until = later(gate.hold().until());

  out.budget = brain.retry_budget.available(now);
  out.retries_in_flight = brain.retry_budget.in_flight();
  for (const IpAddress& address : brain.outliers.ejected(now))
    out.ejected.push_back({.address = address, .until = civil(brain.outliers.EjectedUntil(address))});
  out.latency_p95 = brain.latency.p95();
  return out;
}

bool DiffersForWatchers(const OriginSnapshot& a, const OriginSnapshot& b) {
  if (a.breaker != b.breaker || a.forced != b.forced || a.rule != b.rule) return true;
  if (a.per_second != b.per_second || a.burst != b.burst || a.limit != b.limit || a.adaptive != b.adaptive) return true;
  if (!Same(a.retry_at, b.retry_at) || !Same(a.hold_until, b.hold_until)) return true;
  if (a.ejected.size() != b.ejected.size()) return true;
  for (size_t i = 0; i < a.ejected.size(); ++i)
    if (a.ejected[i].address != b.ejected[i].address) return true;
  return false;
}

}  // namespace fetchd::server
