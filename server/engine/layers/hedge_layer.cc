#include "engine/layers/hedge_layer.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/origin_state.h"
#include "net/event.h"
#include "policy/classify.h"
#include "policy/hedge.h"

namespace fetchd::server {
namespace {

// Gets what a loser still reads before it notices that it was cancelled: nothing.
class NoSink final : public ResponseSink {
 public:
  explicit NoSink(Executor executor) : never_(std::move(executor)) {}
  void OnHead(ResponseHead) override {}
  std::span<char> Prepare(size_t) override { return {}; }
  void Commit(size_t) override {}
  Event& Writable() override { return never_; }

 private:
  Event never_;
};

}  // namespace

// One attempt of the retry layer, run by up to two contenders. Lives in the frame of Run.
class HedgeLayer::Race {
 public:
  Race(HedgeLayer& layer, FetchContext& context)
      : layer_(layer), context_(context), news_(layer.executor_), nowhere_(layer.executor_) {}

  static Task<AttemptOutcome> Run(HedgeLayer& layer, FetchContext& context, Duration delay) {
    Race race(layer, context);
    race.Start(race.first_.emplace(race, false));
    // The first one's time.
    CancelScope patience(*context.scope, After(context.now, delay), FailureCode::kCancelled);
    while (!race.first_->done && race.winner_ == nullptr && !patience.stopped()) co_await race.news_.Wait(patience);
    if (!race.first_->done && race.winner_ == nullptr && !context.scope->stopped() && race.MayHedge(delay))
      race.Start(race.second_.emplace(race, true));
    // Those that are cancelled end by themselves, and nothing may be left running.
    CancelScope unstoppable(context.scope->clock(), context.scope->timers(), kNever, FailureCode::kInternal);
    while (!race.first_->done || (race.second_ && !race.second_->done)) co_await race.news_.Wait(unstoppable);
    co_return race.End();
  }

 private:
  // One attempt in the race, with what it needs for itself.
  struct Contender final : HeadJudge {
    Contender(Race& in, bool second)
        : race(in),
          scope(*in.context_.scope, kNever, FailureCode::kCancelled),
          context(in.context_.spec, nullptr, in.context_.sink, in.context_.origin, scope) {
      context.judge = this;
      context.fresh_connection = in.context_.fresh_connection;
      context.now = in.context_.now;
      context.wait_until = After(context.now, context.spec.timeouts.queue);
      context.trace = in.context_.trace;
      context.attempts = in.context_.attempts;
      context.is_hedge = second;
    }
    ResponseSink& OnHead(const ResponseHead& head) override { return race.OnHead(*this, head); }

    Race& race;
    CancelScope scope;
    FetchContext context;
    const Instant began = context.now;
    AttemptOutcome outcome;
    std::exception_ptr error;
    bool done = false;
  };

  static Task<void> Attempt(Service& service, Contender& contender) {
    contender.outcome = co_await service.Call(contender.context);
  }

  void Start(Contender& contender) {
    Spawn(layer_.executor_, Attempt(*layer_.next_, contender), [this, &contender](std::exception_ptr error) {
      contender.error = error;
      contender.done = true;
      news_.Set();
    });
  }

  bool MayHedge(Duration delay) {
    context_.now = context_.scope->Now();
    const bool paid = context_.origin.brain.retry_budget.TryWithdraw(context_.now);
    Note(context_, context_.now, "hedge", paid ? "started" : "no_budget",
         [&] { return absl::StrCat("no answer after ", ToSeconds(delay), " s"); });
    if (!paid) return false;
    ++context_.attempts;
    layer_.metrics_.hedges.Add(1);
    return true;
  }

  // The first answer wins.
  ResponseSink& OnHead(Contender& contender, const ResponseHead& head) {
    if (winner_ != nullptr) return nowhere_;
    winner_ = &contender;
    news_.Set();
    Contender* other = &contender == &*first_ ? (second_ ? &*second_ : nullptr) : &*first_;
    if (other == &*first_) KeepLatency(*other);
    if (other != nullptr) other->scope.Cancel(FailureCode::kCancelled);
    context_.now = contender.context.now;
    return context_.judge->OnHead(head);
  }

  // The first attempt has lost. It took at least so long; were that left out, each hedge that wins would make the
  // origin look faster, and the next hedges come earlier and more often.
  void KeepLatency(const Contender& loser) {
    if (!loser.context.peer) return;
    const Duration waited = loser.context.record.phases.queue.value_or(Duration::zero());
    context_.origin.brain.latency.Add(context_.scope->Now() - loser.began - waited);
  }

  // What the attempt came to: the winner's end; without one, that of the contender that came further.
  AttemptOutcome End() {
    if (second_) context_.origin.brain.retry_budget.OnRetryEnded();
    Contender* end = winner_;
    if (end == nullptr)
      end = second_ && second_->outcome.failure && first_->outcome.failure &&
                    second_->outcome.failure->processed > first_->outcome.failure->processed
                ? &*second_
                : &*first_;
    for (std::optional<Contender>* contender : {&first_, &second_}) {
      if (!*contender) continue;
      if ((*contender)->error) std::rethrow_exception((*contender)->error);
      context_.request_bytes += (*contender)->context.request_bytes;
      context_.now = std::max(context_.now, (*contender)->context.now);
      if (&**contender != end) layer_.metrics_.OnAttempt((*contender)->context.record);
    }
    if (second_ && end == &*second_ && winner_ != nullptr) layer_.metrics_.hedges_won.Add(1);
    if (second_ && winner_ != nullptr)
      Note(context_, context_.now, "hedge", end == &*second_ ? "won" : "lost", [] { return std::string(); });
    context_.record = end->context.record;
    context_.peer = end->context.peer;
    if (winner_ == nullptr) context_.retry_at = end->context.retry_at;
    return std::move(end->outcome);
  }

  HedgeLayer& layer_;
  FetchContext& context_;
  Event news_;
  NoSink nowhere_;
  std::optional<Contender> first_, second_;
  Contender* winner_ = nullptr;
};

Task<AttemptOutcome> HedgeLayer::Call(FetchContext& context) {
  const FetchSpec& spec = context.spec;
  if (!spec.hedge.enabled || context.body != nullptr) return next_->Call(context);
  if (!IsIdempotent(spec.method, spec.headers, spec.retry.idempotent)) return next_->Call(context);
  const std::optional<Duration> delay = HedgeDelay(spec.hedge, context.origin.brain.latency);
  if (!delay) return next_->Call(context);
  return Race::Run(*this, context, *delay);
}

}  // namespace fetchd::server
