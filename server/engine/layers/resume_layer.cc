#include "engine/layers/resume_layer.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/text.h"
#include "engine/origin_state.h"
#include "net/event.h"
#include "policy/resume.h"
#include "policy/retry.h"

namespace fetchd::server {
namespace {

// Stands before the caller's sink while the rest comes: lets it through if it is the rest, else refuses it.
class RestSink final : public ResponseSink {
 public:
  // `context` is the caller's; of the response, `offset` bytes are there.
  RestSink(FetchContext& context, uint64_t offset) : context_(context), offset_(offset) {}

  void OnHead(ResponseHead head) override {
    answer_ = CheckContinuation(context_.resume_point, offset_, head);
    if (answer_->verdict != "resumed") return Reject(answer_->detail);
    context_.sink.OnResumed(offset_);
  }
  std::span<char> Prepare(size_t want) override {
    if (left() == 0) Reject("its 206 has more bytes than its Content-Range says");
    if (rejection_) return {};
    return context_.sink.Prepare(std::min<uint64_t>(want, left()));
  }
  void Commit(size_t n) override {
    taken_ += n;
    context_.sink.Commit(n);
  }
  Event& Writable() override { return context_.sink.Writable(); }
  uint64_t BytesFor(uint64_t limit) const override {
    const uint64_t whole = context_.sink.BytesFor(limit);
    return whole == BodyLimit::kUnlimited ? whole : whole - std::min(offset_, whole);
  }
  const Failure* refusal() const override { return rejection_ ? &*rejection_ : context_.sink.refusal(); }

  // Unset if no response came.
  const std::optional<Continuation>& answer() const { return answer_; }
  bool rejected() const { return rejection_.has_value(); }
  // Bytes that went on to the caller, and that are missing.
  uint64_t taken() const { return taken_; }
  uint64_t left() const { return answer_->left - taken_; }

 private:
  void Reject(const std::string& why) {
    rejection_ = Failure{.code = FailureCode::kResumeMismatch,
                         .phase = Phase::kReceive,
                         .processed = Processed::kYes,
                         .detail = absl::StrCat("not the rest of the response: ", why)};
  }

  FetchContext& context_;
  const uint64_t offset_;
  std::optional<Continuation> answer_;
  std::optional<Failure> rejection_;
  uint64_t taken_ = 0;
};

FetchSpec SpecOfRest(const FetchContext& context, uint64_t offset) {
  FetchSpec spec = context.spec;
  spec.headers.Add("range", absl::StrCat("bytes=", offset, "-"));
  spec.headers.Add("if-range", context.resume_point.etag());
  return spec;
}

// Not a verdict on the rest: the end of the fetch, or of fetchd's wits.
bool EndsTheFetch(FailureCode code) {
  return code == FailureCode::kCancelled || code == FailureCode::kTotalTimeout || code == FailureCode::kInternal;
}

}  // namespace

Task<AttemptOutcome> ResumeLayer::Call(FetchContext& context) {
  const FetchSpec& spec = context.spec;
  if (spec.retry.resume && spec.retry.max_attempts > 1 && spec.method == "GET" && context.body == nullptr &&
      spec.body.empty())
    context.resumer = this;
  return next_->Call(context);
}

std::optional<Duration> ResumeLayer::Decide(FetchContext& context, AttemptOutcome& broken, Duration last_wait) {
  CancelScope& scope = *context.scope;
  Failure& failure = *broken.failure;
  context.now = scope.Now();
  if (scope.stopped() || context.status != 200 || ClassifyFailure(failure) != Classification::kRetryable)
    return std::nullopt;
  const auto no = [&](std::string_view verdict, std::string_view why) -> std::optional<Duration> {
    Note(context, context.now, "resume", verdict, [&] { return std::string(why); });
    failure.detail += Concat("; not resumed: ", why);
    return std::nullopt;
  };
  const ResumePoint& point = context.resume_point;
  if (context.spec.headers.Has("range")) return no("own_range", "the request has a Range of its own");
  if (!point.possible()) return no("no_validator", "the response has no strong ETag, or the origin no ranges");
  if (point.length() && broken.response_bytes >= *point.length()) return no("nothing_left", "no byte is missing");
  const RetryQuestion question{.failure = &failure,
                               .idempotent = true,
                               .attempts = context.counted_attempts,
                               .retry_after = std::nullopt,
                               .previous_wait = last_wait,
                               .now = context.now,
                               .deadline = scope.deadline()};
  RetryDecision decision = DecideRetry(question, context.spec.retry, random_);
  if (decision.again() && !context.origin.brain.retry_budget.TryWithdraw(context.now))
    decision = {RetryVerdict::kNoBudget};
  if (!decision.again()) return no(ToString(decision.verdict), ToString(decision.verdict));
  Note(context, context.now, "resume", "resume",
       [&] { return absl::StrCat("from byte ", broken.response_bytes, " after ", ToSeconds(decision.wait), " s"); });
  return decision.wait;
}

Task<AttemptOutcome> ResumeLayer::Resume(FetchContext& context, AttemptOutcome broken) {
  Duration wait{};
  for (;;) {
    const std::optional<Duration> decided = Decide(context, broken, wait);
    if (!decided) co_return broken;
    wait = *decided;
    if (wait > Duration::zero()) {
      CancelScope nap(*context.scope, After(context.now, wait), FailureCode::kTotalTimeout);
      Event never(executor_);
      co_await never.Wait(nap);
    }

    const uint64_t offset = broken.response_bytes;
    const FetchSpec spec = SpecOfRest(context, offset);
    RestSink sink(context, offset);
    FetchContext rest(spec, nullptr, sink, context.origin, *context.scope);
    rest.now = context.scope->Now();
    rest.trace = context.trace;
    rest.attempts = context.attempts;
    rest.counted_attempts = context.counted_attempts;
    rest.next_is_paid = true;
    metrics_.resumes.Add(1);
    AttemptOutcome outcome = co_await next_->Call(rest);
    context.attempts = rest.attempts;
    context.counted_attempts = rest.counted_attempts;
    context.now = rest.now;
    context.request_bytes += rest.request_bytes;
    context.record = rest.record;
    context.peer = rest.peer;
    if (rest.retry_at) context.retry_at = rest.retry_at;

    const std::optional<Continuation>& answer = sink.answer();
    const bool began = answer && answer->verdict == "resumed";
    if (began) {
      metrics_.resumed.Add(1);
      Note(context, context.now, "resume", "resumed",
           [&] { return absl::StrCat(sink.taken(), " bytes from byte ", offset); });
    }
    outcome.response_bytes = offset + sink.taken();
    if (began && !sink.rejected()) {
      if (outcome.truncated) co_return outcome;
      if (!outcome.failure && sink.left() > 0) {
        // Its chunks ended before its Content-Range.
        outcome.failure = Failure{.code = FailureCode::kHttpResponseIncomplete,
                                  .phase = Phase::kReceive,
                                  .processed = Processed::kYes,
                                  .detail = absl::StrCat("the rest of the response lacks ", sink.left(), " bytes")};
      }
      if (!outcome.failure) co_return outcome;
      broken = std::move(outcome);
      continue;
    }
    if (outcome.failure && EndsTheFetch(outcome.failure->code)) {
      outcome.failure->processed = Processed::kYes;
      outcome.failure->detail += absl::StrCat("; before that: ", broken.failure->detail);
      co_return outcome;
    }
    const std::string why = outcome.failure ? outcome.failure->detail : answer->detail;
    std::string_view verdict = "failed";
    if (answer) verdict = began ? "mismatch" : answer->verdict;
    Note(context, context.now, "resume", verdict, [&] { return why; });
    broken.response_bytes = outcome.response_bytes;
    broken.failure->detail += absl::StrCat("; not resumed at byte ", offset, ": ", why);
    co_return broken;
  }
}

}  // namespace fetchd::server
