#include "engine/layers/attempt_timeout_layer.h"

namespace fetchd::server {

Task<AttemptOutcome> AttemptTimeoutLayer::Call(FetchContext& context) {
  CancelScope attempt(*context.scope, kNever, FailureCode::kAttemptTimeout);
  CancelScope* outer = std::exchange(context.scope, &attempt);
  AttemptOutcome outcome = co_await next_->Call(context);
  context.scope = outer;
  co_return outcome;
}

}  // namespace fetchd::server
