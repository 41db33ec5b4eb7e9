#include "engine/layers/exchange_layer.h"

#include <utility>

namespace fetchd::server {

Task<AttemptOutcome> ExchangeLayer::Call(FetchContext& context) {
  AttemptOutcome outcome;
  ConnectionPool::Result acquired = co_await pool_.Acquire(
      {.origin = context.origin, .spec = context.spec, .fresh = context.fresh_connection, .scope = *context.scope});
  context.record.phases = acquired.phases;
  if (acquired.failure) {
    outcome.failure = std::move(acquired.failure);
    co_return outcome;
  }
  context.record.reused_connection = acquired.lease.reused();
  ExchangeResult result =
      co_await acquired.lease.Exchange(context.spec, context.body, *context.judge, limits_, *context.scope);
  if (result.reusable) acquired.lease.MarkReusable();
  context.record.phases.send = result.phases.send;
  context.record.phases.wait = result.phases.wait;
  context.record.phases.receive = result.phases.receive;
  context.record.status = result.status;
  context.request_bytes += result.request_bytes;
  outcome.failure = std::move(result.failure);
  outcome.truncated = result.truncated;
  outcome.trailers = std::move(result.trailers);
  outcome.response_bytes = result.response_bytes;
  co_return outcome;
}

}  // namespace fetchd::server
