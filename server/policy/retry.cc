#include "policy/retry.h"

#include <algorithm>

#include "policy/backoff.h"

namespace fetchd::server {

std::string_view ToString(RetryVerdict verdict) {
  switch (verdict) {
    case RetryVerdict::kDone:
      return "done";
    case RetryVerdict::kRetry:
      return "retry";
    case RetryVerdict::kRetryFresh:
      return "retry_fresh";
    case RetryVerdict::kPermanent:
      return "permanent";
    case RetryVerdict::kRefused:
      return "refused";
    case RetryVerdict::kNotIdempotent:
      return "not_idempotent";
    case RetryVerdict::kStreamedBody:
      return "streamed_body";
    case RetryVerdict::kNoAttemptsLeft:
      return "no_attempts_left";
    case RetryVerdict::kNoBudget:
      return "no_budget";
    case RetryVerdict::kDoesNotFit:
      return "does_not_fit";
  }
  return "done";
}

namespace {

// The failure says something of the connection alone: it had died while it was idle, or, with HTTP/2, the request was
// turned away unread: refused, wanted by HTTP/1.1, or sent to who does not speak HTTP/2.
bool IsOfConnection(const Failure* failure) {
  if (failure == nullptr || !failure->reused_connection) return false;
  if (failure->code == FailureCode::kConnectionTerminated) return true;
  return failure->processed == Processed::kNo &&
         (failure->code == FailureCode::kHttp2StreamRefused || failure->code == FailureCode::kHttpVersionNotAvailable ||
          failure->code == FailureCode::kHttp2ProtocolError);
}

}  // namespace

RetryDecision DecideRetry(const RetryQuestion& question, const RetryOptions& options, Random& random) {
  Classification classification = question.failure != nullptr ? ClassifyFailure(*question.failure)
                                                              : ClassifyStatus(question.status, options.statuses);
  if (classification == Classification::kSuccess) return {RetryVerdict::kDone};
  const bool free_attempt = !question.free_attempt_used && IsOfConnection(question.failure);
  if (classification == Classification::kPermanent && !free_attempt) return {RetryVerdict::kPermanent};
  if (question.failure != nullptr && IsOwnRefusal(question.failure->code)) return {RetryVerdict::kRefused};

  // A response proves that the origin acted; of failures the transport knows.
  bool untouched = question.failure != nullptr && question.failure->processed == Processed::kNo;
  if (!untouched) {
    if (question.streamed_body) return {RetryVerdict::kStreamedBody};
    if (!question.idempotent) return {RetryVerdict::kNotIdempotent};
  }
  // An HTTP/2 origin may refuse a request whose body is on its way (REFUSED_STREAM).
  if (question.streamed_body && question.body_begun) return {RetryVerdict::kStreamedBody};

  if (free_attempt) {
    if (!AttemptFits(question.now, {}, question.deadline)) return {RetryVerdict::kDoesNotFit};
    return {RetryVerdict::kRetryFresh};
  }

  if (question.attempts >= options.max_attempts) return {RetryVerdict::kNoAttemptsLeft};
  Duration wait = DrawBackoff(question.attempts, question.previous_wait, options, random);
  if (question.retry_after) {
    if (*question.retry_after > options.max_retry_after) return {RetryVerdict::kDoesNotFit};
    wait = std::max(wait, *question.retry_after);
  }
  if (!AttemptFits(question.now, wait, question.deadline)) return {RetryVerdict::kDoesNotFit};
  return {RetryVerdict::kRetry, wait};
}

}  // namespace fetchd::server
