#include "engine/refusal.h"

#include <utility>

#include "policy/classify.h"

namespace fetchd::server {

AttemptOutcome Refuse(FetchContext& context, FailureCode code, Phase phase, Instant retry_at, std::string detail) {
  if (retry_at != kNever) context.retry_at = context.scope->clock().WallNow() + (retry_at - context.now);
  AttemptOutcome outcome;
  outcome.failure = Failure{.code = code, .phase = phase, .processed = Processed::kNo, .detail = std::move(detail)};
  return outcome;
}

Failure CircuitOpened() {
  return {.code = FailureCode::kCircuitOpen,
          .phase = Phase::kQueue,
          .processed = Processed::kNo,
          .detail = "the circuit of the origin opened while the attempt waited"};
}

bool IsRefusal(const Failure& failure) {
  return IsOwnRefusal(failure.code) || failure.phase == Phase::kQueue || failure.phase == Phase::kPolicy ||
         failure.phase == Phase::kBackoff;
}

}  // namespace fetchd::server
