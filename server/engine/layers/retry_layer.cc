#include "engine/layers/retry_layer.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/kept_response.h"
#include "engine/origin_state.h"
#include "engine/refusal.h"
#include "net/event.h"
#include "policy/classify.h"
#include "policy/retry_after.h"

namespace fetchd::server {

// One fetch's way through its attempts.
class RetryLayer::Run final : public HeadJudge {
 public:
  Run(RetryLayer& layer, FetchContext& context)
      : layer_(layer),
        context_(context),
        scope_(*context.scope),
        brain_(context.origin.brain),
        idempotent_(IsIdempotent(context.spec.method, context.spec.headers, context.spec.retry.idempotent)),
        next_is_paid_(std::exchange(context.next_is_paid, false)) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() {
    // Also a retry that was scheduled and will not be made.
    for (const bool out : {paid_, next_is_paid_})
      if (out) brain_.retry_budget.OnRetryEnded();
  }

  static Task<AttemptOutcome> Go(RetryLayer& layer, FetchContext& context) {
    Run run(layer, context);
    context.judge = &run;
    for (;;) {
      if (run.scope_.stopped()) {
        run.outcome_ = run.Stopped(context.attempts == 0 ? Phase::kPolicy : Phase::kBackoff);
        break;
      }
      run.BeginAttempt();
      run.outcome_ = co_await layer.next_->Call(context);
      run.EndAttempt();
      if (context.committed) {
        if (run.outcome_.failure && context.resumer != nullptr)
          co_return co_await context.resumer->Resume(context, std::move(run.outcome_));
        co_return std::move(run.outcome_);
      }
      RetryDecision decision = run.Decide();
      if (!decision.again()) break;
      context.fresh_connection = decision.verdict == RetryVerdict::kRetryFresh;
      run.free_attempt_used_ = run.free_attempt_used_ || context.fresh_connection;
      run.last_wait_ = decision.wait;
      run.KeepAsLast();
      if (decision.wait > Duration::zero()) co_await run.Sleep(decision.wait);
    }
    co_await run.Settle();
    co_return std::move(run.outcome_);
  }

  ResponseSink& OnHead(const ResponseHead& head) override {
    Learn(head);
    on_head_ = Ask(nullptr, head.status);
    if (on_head_.again() && head.content_length.value_or(0) <= KeptResponse::kMaxBody) {
      kept_ = std::make_unique<KeptResponse>(context_.sink);
      return *kept_;
    }
    context_.committed = true;
    context_.status = head.status;
    if (context_.resumer != nullptr) context_.resume_point.Keep(head);
    return context_.sink;
  }

 private:
  void BeginAttempt() {
    ++context_.attempts;
    if (!context_.fresh_connection) ++context_.counted_attempts;
    if (context_.attempts == 1) {
      brain_.retry_budget.OnAttempt(context_.now);
    } else {
      context_.now = scope_.Now();
      context_.record = {};
      context_.peer = std::nullopt;
    }
    context_.wait_until = After(context_.now, context_.spec.timeouts.queue);
    context_.retry_at = std::nullopt;
    paid_ = std::exchange(next_is_paid_, false);
    asked_wait_ = std::nullopt;
    kept_.reset();
  }

  void EndAttempt() {
    if (std::exchange(paid_, false)) brain_.retry_budget.OnRetryEnded();
    if (kept_ != nullptr && kept_->overflowed()) {
      context_.committed = true;
      context_.status = context_.record.status;
    }
    processed_ = std::max(processed_, outcome_.failure ? outcome_.failure->processed : Processed::kYes);
    if (outcome_.failure) {
      context_.record.failure = outcome_.failure->code;
      context_.record.failure_phase = outcome_.failure->phase;
    }
    layer_.metrics_.OnAttempt(context_.record);
  }

  // When the origin wants to be asked again: this fetch by its Retry-After, everybody by what the brain learns.
  void Learn(const ResponseHead& head) {
    context_.now = scope_.Now();
    const std::optional<Duration> hold = brain_.OnHead(head, context_.now, scope_.clock());
    if (hold)
      Note(context_, context_.now, "hold", "learnt",
           [&] { return absl::StrCat("nobody asks the origin for ", ToSeconds(*hold), " s"); });
    const auto field = head.headers.Find("retry-after");
    if (!field) return;
    const WallTime now = scope_.clock().WallNow();
    context_.retry_at = ParseRetryAfter(*field, now);
    if (context_.retry_at) asked_wait_ = *context_.retry_at - now;
  }

  // Decides, and pays for another attempt from the origin's budget.
  RetryDecision Ask(const Failure* failure, int status) {
    const Instant now = context_.now;
    RetryQuestion question{.failure = failure,
                           .status = status,
                           .idempotent = idempotent_,
                           .streamed_body = context_.body != nullptr,
                           .body_begun = context_.request_bytes > 0,
                           .attempts = context_.counted_attempts,
                           .free_attempt_used = free_attempt_used_,
                           // It concerns the origin's answer; a broken connection is tried again by our own rules.
                           .retry_after = failure == nullptr ? asked_wait_ : std::nullopt,
                           .previous_wait = last_wait_,
                           .now = now,
                           .deadline = scope_.deadline()};
    RetryDecision decision = DecideRetry(question, context_.spec.retry, layer_.random_);
    if (decision.verdict == RetryVerdict::kRetry && !next_is_paid_) {
      next_is_paid_ = brain_.retry_budget.TryWithdraw(now);
      if (!next_is_paid_) decision = {RetryVerdict::kNoBudget};
    }
    if (decision.verdict != RetryVerdict::kDone)
      Note(context_, now, "retry", ToString(decision.verdict),
           [&] { return decision.again() ? absl::StrCat("after ", ToSeconds(decision.wait), " s") : std::string(); });
    return decision;
  }

  // After an attempt that was not committed.
  RetryDecision Decide() {
    if (scope_.stopped()) return {RetryVerdict::kDoesNotFit};
    if (outcome_.failure) return Ask(&*outcome_.failure, 0);
    // Decided with the head; since then its body has taken time.
    if (After(scope_.Now(), on_head_.wait + kLeastAttemptTime) > scope_.deadline()) return {RetryVerdict::kDoesNotFit};
    return on_head_;
  }

  // A complete response is worth more than any failure that may follow, and a failure of the origin more than a refusal
  // of ours.
  void KeepAsLast() {
    if (outcome_.failure && !IsRefusal(*outcome_.failure)) last_failure_ = outcome_.failure;
    if (kept_ == nullptr || outcome_.failure) return;
    last_ = std::move(kept_);
    last_outcome_ = std::move(outcome_);
    last_retry_at_ = context_.retry_at;
  }

  Task<void> Sleep(Duration wait) {
    CancelScope nap(scope_, After(scope_.Now(), wait), FailureCode::kTotalTimeout);
    Event never(layer_.executor_);
    co_await never.Wait(nap);
  }

  AttemptOutcome Stopped(Phase phase) {
    AttemptOutcome outcome;
    outcome.failure = Failure{.code = scope_.reason(),
                              .phase = phase,
                              .processed = processed_,
                              .detail = phase == Phase::kPolicy ? "the fetch had no time left when it began"
                                                                : "the fetch ended before the next attempt"};
    return outcome;
  }

  // The attempts have run out without a committed response.
  Task<void> Settle() {
    if (outcome_.failure && outcome_.failure->code == FailureCode::kCancelled) co_return;
    if (outcome_.failure && last_failure_ && IsRefusal(*outcome_.failure)) {
      last_failure_->detail += absl::StrCat("; then attempt ", context_.attempts, ": ", outcome_.failure->detail);
      outcome_.failure = std::move(last_failure_);
    }
    if (outcome_.failure && last_ != nullptr) {
      kept_ = std::move(last_);
      outcome_ = std::move(last_outcome_);
      context_.retry_at = last_retry_at_;
    }
    // What an earlier attempt may have done is not undone by the failure of a later one.
    if (outcome_.failure) outcome_.failure->processed = processed_;
    if (outcome_.failure && context_.attempts > 1)
      outcome_.failure->detail += absl::StrCat(" (attempt ", context_.attempts, ")");
    if (kept_ == nullptr) co_return;
    context_.committed = true;
    context_.status = kept_->status();
    bool all = co_await kept_->Replay(scope_);
    if (!all && !outcome_.failure) {
      outcome_.failure = Failure{.code = scope_.reason(),
                                 .phase = Phase::kReceive,
                                 .processed = Processed::kYes,
                                 .detail = "the fetch ended before the response was taken"};
    }
  }

  RetryLayer& layer_;
  FetchContext& context_;
  CancelScope& scope_;
  OriginBrain& brain_;
  const bool idempotent_;
  bool free_attempt_used_ = false;
  // This attempt, and the next one, were paid from the retry budget.
  bool paid_ = false;
  bool next_is_paid_ = false;
  Processed processed_ = Processed::kNo;
  AttemptOutcome outcome_;
  RetryDecision on_head_;
  // How long the response of this attempt asked everybody to wait.
  std::optional<Duration> asked_wait_;
  Duration last_wait_{};
  // The response of the attempt just made, complete or not; and the last complete one before it.
  std::unique_ptr<KeptResponse> kept_;
  std::unique_ptr<KeptResponse> last_;
  AttemptOutcome last_outcome_;
  std::optional<Failure> last_failure_;
  std::optional<WallTime> last_retry_at_;
};

Task<AttemptOutcome> RetryLayer::Call(FetchContext& context) { return Run::Go(*this, context); }

}  // namespace fetchd::server
