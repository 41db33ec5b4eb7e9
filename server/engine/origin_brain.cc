#include "engine/origin_brain.h"

#include <string_view>

#include "policy/rate_limit_headers.h"

namespace fetchd::server {
namespace {

// Most responses have none of the fields that say when to come again, and are spared the parsing.
bool MaySayWhen(const Headers& headers) {
  for (const HeaderView field : headers) {
    const std::string_view name = field.name;
    if (name.size() < 9 || (name[0] != 'r' && name[0] != 'x')) continue;
    if (name == "retry-after" || name.starts_with("ratelimit") || name.starts_with("x-ratelimit")) return true;
  }
  return false;
}

}  // namespace

OriginBrain::OriginBrain(const OriginPolicy& policy, int connections, const Clock& clock, TimerQueue& timers,
                         ThreadMetrics& metrics, uint64_t seed)
    : rule(policy.rule),
      breaker(policy.breaker),
      retry_budget(policy.retry_budget),
      gate(policy, connections, clock, timers, metrics, seed),
      outliers(policy.outlier),
      metrics_(metrics) {}

void OriginBrain::SetPolicy(const OriginPolicy& policy, int connections, Instant now) {
  rule = policy.rule;
  http2 = policy.http2;
  breaker.SetOptions(policy.breaker);
  retry_budget.SetOptions(policy.retry_budget);
  gate.SetPolicy(policy, connections, now);
  outliers.SetOptions(policy.outlier);
}

void OriginBrain::Reset(Instant now) {
  breaker.Reset();
  retry_budget.Reset();
  gate.Reset(now);
  outliers.Reset();
  latency = LatencyEstimate();
}

std::optional<Duration> OriginBrain::OnHead(const ResponseHead& head, Instant now, const Clock& clock) {
  if (!MaySayWhen(head.headers)) return std::nullopt;
  const std::optional<Duration> hold = ReadRateLimit(head.status, head.headers, clock.WallNow()).hold;
  if (!hold) return std::nullopt;
  metrics_.holds_learnt.Add(1);
  gate.Hold(*hold, now);
  return hold;
}

bool OriginBrain::OnAttempt(CircuitBreaker::Permit permit, const Failure* failure, const AttemptRecord& record,
                            const std::optional<Endpoint>& peer, Instant now) {
  const AttemptVerdict verdict = BreakerVerdict(failure, record.status, breaker.options());
  const Duration took = TimeToAnswer(record.phases);
  if (verdict == AttemptVerdict::kSuccess) {
    gate.OnSuccess(now);
    latency.Add(took);
  }
  if (verdict != AttemptVerdict::kIgnored && peer) OnResult(peer->address, verdict == AttemptVerdict::kSuccess, now);
  const bool opened = breaker.Record(permit, verdict, took, now);
  if (opened) metrics_.breakers_opened.Add(1);
  return opened;
}

void OriginBrain::OnResult(const IpAddress& address, bool ok, Instant now) {
  if (outliers.OnResult(address, ok, now)) metrics_.outliers_ejected.Add(1);
}

}  // namespace fetchd::server
