// What holds for an origin, and for a fetch to it that does not say otherwise.
#pragma once

#include <string>

#include "model/request.h"
#include "policy/circuit_breaker.h"
#include "policy/concurrency_limit.h"
#include "policy/outlier.h"
#include "policy/rate_limit.h"
#include "policy/retry_budget.h"

namespace fetchd::server {

// Of an origin, over all callers.
struct OriginPolicy {
  // The host pattern whose rule it is, such as "*.example.com"; empty: the defaults, no rule matched.
  std::string rule;
  BreakerOptions breaker;
  RetryBudgetOptions retry_budget;
  RateLimitOptions rate_limit;
  // Of each caller at this origin, besides `rate_limit`.
  RateLimitOptions caller_rate_limit;
  ConcurrencyOptions concurrency;
  OutlierOptions outlier;
  // HTTP/2 is offered by ALPN.
  bool http2 = true;
};

// Through which proxy fetches go, and what requests may change of that.
struct ProxyPolicy {
  static constexpr int kDirect = -1;
  // Which of PolicyRules::proxies, or kDirect.
  int proxy = kDirect;
  // The configuration says which, be it kDirect; else it is the request's to say.
  bool prescribed = false;
  // A request may say otherwise all the same.
  bool may_override = false;
};

// Of a fetch whose request leaves them unset.
struct CallPolicy {
  Timeouts timeouts;
  RetryOptions retry;
  HedgeOptions hedge;
  Priority priority = Priority::kNormal;
  ProxyPolicy proxy;
};

}  // namespace fetchd::server
