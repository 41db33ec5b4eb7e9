#include "engine/layers/trace_layer.h"

#include "model/proxy.h"

namespace fetchd::server {

Task<AttemptOutcome> TraceLayer::Trace(FetchContext& context) {
  server::Trace& trace = *context.trace;
  const size_t slot = trace.attempts.size();
  const Instant began = context.now;
  AttemptTrace& noted = trace.attempts.emplace_back();
  noted.number = context.attempts;
  noted.hedge = context.is_hedge;
  noted.began = began - trace.began;
  AttemptOutcome outcome = co_await next_->Call(context);
  AttemptTrace& attempt = trace.attempts[slot];
  attempt.took = context.now - began;
  attempt.peer = context.peer;
  if (context.spec.route.proxy != nullptr) attempt.proxy = context.spec.route.proxy->name;
  attempt.reused_connection = context.record.reused_connection;
  attempt.http2 = context.record.http2;
  attempt.phases = context.record.phases;
  attempt.status = context.record.status;
  if (!outcome.failure) co_return outcome;
  attempt.failure = outcome.failure->code;
  attempt.failure_phase = outcome.failure->phase;
  attempt.processed = outcome.failure->processed;
  attempt.detail = outcome.failure->detail;
  co_return outcome;
}

}  // namespace fetchd::server
