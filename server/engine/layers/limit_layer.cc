#include "engine/layers/limit_layer.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/origin_state.h"
#include "engine/refusal.h"
#include "policy/deadline.h"

namespace fetchd::server {
namespace {

// What an attempt tells about how much the origin can do at once.
ConcurrencyLimit::Sample SampleOf(const AttemptOutcome& outcome, const AttemptRecord& record) {
  using Result = ConcurrencyLimit::Result;
  if (!outcome.failure) {
    if (record.status == 429 || record.status == 503) return {.result = Result::kDropped};
    return {.result = Result::kAnswered, .latency = record.phases.wait.value_or(Duration{})};
  }
  switch (outcome.failure->code) {
    case FailureCode::kConnectionRefused:
    case FailureCode::kConnectionTimeout:
    case FailureCode::kHttpResponseTimeout:
    case FailureCode::kAttemptTimeout:
      return {.result = Result::kDropped};
    default:
      return {.result = Result::kIgnored};
  }
}

}  // namespace

Task<AttemptOutcome> LimitLayer::Call(FetchContext& context) {
  if (context.origin.brain.gate.TryEnter(context.spec, context.now)) return Inside(context);
  return Wait(context);
}

Task<AttemptOutcome> LimitLayer::Inside(FetchContext& context) {
  AttemptOutcome outcome = co_await next_->Call(context);
  context.origin.brain.gate.Leave(context.spec, SampleOf(outcome, context.record), context.now);
  co_return outcome;
}

Task<AttemptOutcome> LimitLayer::Wait(FetchContext& context) {
  OriginGate& gate = context.origin.brain.gate;
  const Instant began = context.now;
  const OriginGate::Forecast forecast = gate.Earliest(context.spec, began);
  const Instant latest = std::min(context.wait_until, LatestAttempt(context.scope->deadline()));
  if (forecast.at > latest) {
    Note(context, began, forecast.rule, "refused", [&] { return forecast.Text(began); });
    co_return Refuse(context, FailureCode::kRateLimited, Phase::kQueue, forecast.at,
                     absl::StrCat(forecast.Text(began), ", and the fetch may not wait so long"));
  }
  if (!gate.MayWait(context.spec, max_queue_)) {
    Note(context, began, "queue", "refused", [&] { return absl::StrCat(gate.waiting(), " wait already"); });
    co_return Refuse(context, FailureCode::kConnectionLimitReached, Phase::kQueue, kNever,
                     absl::StrCat(gate.waiting(), " attempts wait for the origin already"));
  }
  Note(context, began, forecast.rule, "wait", [&] { return forecast.Text(began); });

  CancelScope wait(*context.scope, context.wait_until, FailureCode::kQueueTimeout);
  GateWaiter waiter(executor_, context.spec);
  gate.Push(waiter, began);
  while (!waiter.entered && !waiter.refused) {
    const bool woken = co_await waiter.event.Wait(wait);
    if (woken || waiter.entered || waiter.refused) continue;
    gate.Remove(waiter, context.scope->Now());
    waiter.refused = Failure{.code = wait.reason(),
                             .phase = Phase::kQueue,
                             .processed = Processed::kNo,
                             .detail = "the origin's limits did not let the attempt go"};
    waiter.retry_at = gate.Earliest(context.spec, context.scope->Now()).at;
  }
  context.now = context.scope->Now();
  context.record.phases.queue = context.now - began;
  const CircuitBreaker& breaker = context.origin.brain.breaker;
  if (waiter.entered && !breaker.Stands(context.permit)) {
    // It opened after this one was let in, and before its turn to run came.
    gate.Leave(context.spec, {}, context.now);
    waiter.refused = CircuitOpened();
    waiter.retry_at = breaker.retry_at();
  }
  if (waiter.refused) {
    Note(context, context.now, "queue", "refused", [&] { return waiter.refused->detail; });
    co_return Refuse(context, waiter.refused->code, waiter.refused->phase, waiter.retry_at,
                     std::move(waiter.refused->detail));
  }
  Note(context, context.now, "queue", "entered",
       [&] { return absl::StrCat("after ", ToSeconds(context.now - began), " s"); });
  Task<AttemptOutcome> inside = Inside(context);
  co_return co_await std::move(inside);
}

}  // namespace fetchd::server
