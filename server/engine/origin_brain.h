// What all callers' attempts together taught us of one origin, and the policies that decide by it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/timer_queue.h"
#include "engine/origin_gate.h"
#include "model/failure.h"
#include "model/ip_address.h"
#include "model/response_head.h"
#include "policy/circuit_breaker.h"
#include "policy/hedge.h"
#include "policy/origin_policy.h"
#include "policy/outlier.h"
#include "policy/retry_budget.h"
#include "telemetry/records.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// One for each origin: part of OriginState, plain state of the owner thread. Layers ask it; the rules are in policy/.
struct OriginBrain {
  // All but `policy` outlive it. `connections`: of the pool, for an origin.
  OriginBrain(const OriginPolicy& policy, int connections, const Clock& clock, TimerQueue& timers,
              ThreadMetrics& metrics, uint64_t seed);

  // Another configuration; what was learnt stays.
  void SetPolicy(const OriginPolicy& policy, int connections, Instant now);
  // Forgets what was learnt, and what was set by hand.
  void Reset(Instant now);

  // An answer has begun: what it asks of everybody is learnt. How long the hold is that it asked for, if any.
  std::optional<Duration> OnHead(const ResponseHead& head, Instant now, const Clock& clock);
  // An attempt has ended that the breaker had let through. `failure` is null on a response. True if that opened the
  // breaker.
  bool OnAttempt(CircuitBreaker::Permit permit, const Failure* failure, const AttemptRecord& record,
                 const std::optional<Endpoint>& peer, Instant now);

  // What came of connecting to, or asking, one of its addresses.
  void OnResult(const IpAddress& address, bool ok, Instant now);

  // The rule of the configuration that it goes by; empty: the defaults.
  std::string rule;
  // HTTP/2 may be spoken where the origin chooses it.
  bool http2 = true;
  CircuitBreaker breaker;
  RetryBudget retry_budget;
  OriginGate gate;
  LatencyEstimate latency;
  OutlierTracker outliers;

 private:
  ThreadMetrics& metrics_;
};

}  // namespace fetchd::server
