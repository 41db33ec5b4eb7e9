// No attempt at an origin that is down.
#pragma once

#include <memory>
#include <utility>

#include "engine/service.h"
#include "policy/circuit_breaker.h"

namespace fetchd::server {

// Asks the origin's circuit breaker for a permit, and tells it what came of the attempt. When that opens it, whoever
// waits at the gate is refused too. Stands before the limits, so that an open circuit spends none of them.
class BreakerLayer final : public Service {
 public:
  explicit BreakerLayer(std::unique_ptr<Service> next) : next_(std::move(next)) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;

 private:
  Task<AttemptOutcome> Watch(FetchContext& context, CircuitBreaker::Permit permit);

  std::unique_ptr<Service> next_;
};

}  // namespace fetchd::server
