#include "engine/layers/exchange_layer.h"

#include <utility>

namespace fetchd::server {

Task<AttemptOutcome> ExchangeLayer::Call(FetchContext& context) {
  AttemptOutcome outcome;
  const ConnectionPool::Request request{.origin = context.origin,
                                        .spec = context.spec,
                                        .now = context.now,
                                        .wait_until = context.wait_until,
                                        .fresh = context.fresh_connection,
                                        .scope = *context.scope};
  ConnectionPool::Result acquired = co_await pool_.Acquire(request);
  AttemptRecord& record = context.record;
  // A wait at the gate came first.
  if (record.phases.queue) acquired.phases.queue = acquired.phases.queue.value_or(Duration{}) + *record.phases.queue;
  record.phases = acquired.phases;
  if (acquired.failure) {
    context.now = context.scope->Now();
    outcome.failure = std::move(acquired.failure);
    co_return outcome;
  }
  record.reused_connection = acquired.lease.reused();
  record.http2 = acquired.lease.http2();
  context.peer = acquired.lease.peer();
  ExchangeResult result =
      co_await acquired.lease.Exchange(context.spec, context.body, *context.judge, limits_, *context.scope);
  context.now = context.scope->Now();
  if (result.reusable) acquired.lease.MarkReusable(context.now);
  record.phases.send = result.phases.send;
  record.phases.wait = result.phases.wait;
  record.phases.receive = result.phases.receive;
  record.status = result.status;
  context.request_bytes += result.request_bytes;
  outcome.failure = std::move(result.failure);
  outcome.truncated = result.truncated;
  outcome.trailers = std::move(result.trailers);
  outcome.response_bytes = result.response_bytes;
  co_return outcome;
}

}  // namespace fetchd::server
