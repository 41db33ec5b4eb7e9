#include "engine/layers/breaker_layer.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/origin_state.h"
#include "engine/refusal.h"

namespace fetchd::server {
namespace {

// Addresses that the attempt could not be sent to, as they do much worse than the origin's others.
void NoteLeftOut(FetchContext& context, const std::vector<IpAddress>& ejected) {
  if (ejected.empty()) return;
  Note(context, context.now, "outlier", "left_out", [&] {
    std::string text;
    for (const IpAddress& address : ejected) absl::StrAppend(&text, text.empty() ? "" : ", ", address.ToString());
    return text;
  });
}

}  // namespace

Task<AttemptOutcome> BreakerLayer::Call(FetchContext& context) {
  CircuitBreaker& breaker = context.origin.brain.breaker;
  const CircuitBreaker::Decision decision = breaker.Acquire(context.now);
  if (decision.allowed) {
    context.permit = decision.permit;
    return Watch(context, decision.permit);
  }
  const std::string state(ToString(breaker.state(context.now)));
  Note(context, context.now, "breaker", "refused", [&] { return absl::StrCat("the circuit is ", state); });
  return Refuse(context, FailureCode::kCircuitOpen, Phase::kPolicy, decision.retry_at,
                absl::StrCat("the circuit of the origin is ", state, ": it failed too often"));
}

Task<AttemptOutcome> BreakerLayer::Watch(FetchContext& context, CircuitBreaker::Permit permit) {
  if (permit.trial) Note(context, context.now, "breaker", "trial", [] { return std::string(); });
  AttemptOutcome outcome = co_await next_->Call(context);
  OriginBrain& brain = context.origin.brain;
  if (context.trace != nullptr) NoteLeftOut(context, brain.outliers.ejected(context.now));
  CircuitBreaker& breaker = brain.breaker;
  if (brain.OnAttempt(permit, outcome.failure ? &*outcome.failure : nullptr, context.record, context.peer,
                      context.now)) {
    Note(context, context.now, "breaker", "opened",
         [&] { return absl::StrCat("until ", ToSeconds(breaker.retry_at() - context.now), " s from now"); });
    brain.gate.RefuseAll(CircuitOpened(), breaker.retry_at(), context.now);
  }
  co_return outcome;
}

}  // namespace fetchd::server
