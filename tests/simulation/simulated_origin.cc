#include "simulation/simulated_origin.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "net/event.h"

namespace fetchd::simulation {
namespace {

using server::FailureCode;
using server::Phase;
using server::Processed;

constexpr Duration kRefusal = std::chrono::milliseconds(1);

// Sleeps until `scope` stops.
server::Task<void> Sleep(Executor executor, server::CancelScope& scope) {
  server::Event never(std::move(executor));
  co_await never.Wait(scope);
}

}  // namespace

Duration SimulatedOrigin::ServiceTime() {
  const double chance = random_.NextDouble();
  // Box-Muller; 1 - x, as the logarithm of 0 is none.
  const double radius = std::sqrt(-2 * std::log(1 - random_.NextDouble()));
  const double normal = radius * std::cos(2 * std::numbers::pi * random_.NextDouble());
  if (chance < model_.slow_share) return model_.slow;
  return Duration(static_cast<int64_t>(static_cast<double>(model_.median.count()) * std::exp(model_.spread * normal)));
}

SimulatedOrigin::Answer SimulatedOrigin::Arrive(Instant now) {
  ++calls_;
  arrivals_.Add(now);
  if (now < told_until_) ++calls_too_early_;
  if (state_ == State::kRefusing) return {.takes = kRefusal, .refused = true};
  if (state_ == State::kHanging) return {.hangs = true};
  if (rate_limit_.limited()) {
    if (rate_limit_.Next(now) > now) {
      ++told_to_wait_;
      return {.takes = kRefusal, .status = 429, .retry_after = model_.retry_after};
    }
    rate_limit_.Take(now);
  }
  Answer answer{.takes = ServiceTime()};
  if (random_.NextDouble() < model_.failure_share) answer.status = model_.failure_status;
  if (!free_at_.empty()) {
    const Instant starts = std::max(free_at_.top(), now);
    free_at_.pop();
    free_at_.push(starts + answer.takes);
    answer.takes += starts - now;
  }
  return answer;
}

void SimulatedOrigin::SetState(State state, Instant now) {
  if (state_ == State::kRefusing) last_refusing_ = now;
  if (state_ == State::kHanging) last_hanging_ = now;
  state_ = state;
  if (state == State::kUp) SetWorkers(model_.workers, now);
}

void SimulatedOrigin::SetWorkers(int workers, Instant now) {
  model_.workers = workers;
  const auto wanted = static_cast<size_t>(workers);
  while (free_at_.size() > wanted) free_at_.pop();
  while (free_at_.size() < wanted) free_at_.push(now);
}

server::Task<server::AttemptOutcome> OriginService::Call(server::FetchContext& context) {
  server::CancelScope& scope = *context.scope;
  const Instant began = scope.Now();
  // What the connection pool does when an attempt has a connection.
  scope.SetDeadline(server::After(began, context.spec.timeouts.attempt));
  ++timeline_.At(began).reached;
  context.peer = address_;
  const SimulatedOrigin::Answer answer = origin_.Arrive(began);
  {
    server::CancelScope nap(scope, answer.hangs ? server::kNever : began + answer.takes, FailureCode::kInternal);
    co_await Sleep(executor_, nap);
  }
  if (!scope.stopped() && !answer.hangs && origin_.Hung(began)) co_await Sleep(executor_, scope);
  context.now = scope.Now();

  server::AttemptOutcome outcome;
  if (answer.refused) {
    context.record.phases.connect = context.now - began;
  } else {
    context.record.phases.wait = context.now - began;
  }
  if (scope.stopped()) {
    outcome.failure = server::Failure{
        .code = scope.reason(), .phase = Phase::kWait, .processed = Processed::kMaybe, .detail = "no answer in time"};
  } else if (answer.refused) {
    outcome.failure = server::Failure{.code = FailureCode::kConnectionRefused,
                                      .phase = Phase::kConnect,
                                      .processed = Processed::kNo,
                                      .detail = "the origin is down"};
  } else if (origin_.BrokeOff(began)) {
    outcome.failure = server::Failure{.code = FailureCode::kConnectionTerminated,
                                      .phase = Phase::kWait,
                                      .processed = Processed::kMaybe,
                                      .detail = "the origin went down"};
  } else {
    context.record.status = answer.status;
    server::ResponseHead head{.status = answer.status, .headers = {}, .content_length = 0, .redirects = nullptr};
    if (answer.retry_after) {
      head.headers.Add("retry-after", absl::StrCat(*answer.retry_after / std::chrono::seconds(1)));
      origin_.OnToldToWait(*answer.retry_after, context.now);
    }
    context.judge->OnHead(head).OnHead(std::move(head));
  }
  co_return outcome;
}

}  // namespace fetchd::simulation
