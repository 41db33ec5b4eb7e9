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

RetryDecision DecideRetry(const RetryQuestion& question, const RetryOptions& options, Random& random) {
  Classification classification = question.failure != nullptr ? ClassifyFailure(*question.failure)
                                                              : ClassifyStatus(question.status, options.statuses);
  if (classification == Classification::kSuccess) return {RetryVerdict::kDone};
  if (classification == Classification::kPermanent) return {RetryVerdict::kPermanent};
  if (question.failure != nullptr && IsOwnRefusal(question.failure->code)) return {RetryVerdict::kRefused};

  // A response proves that the origin acted; of failures the transport knows.
  bool untouched = question.failure != nullptr && question.failure->processed == Processed::kNo;
  if (!untouched) {
    if (question.streamed_body) return {RetryVerdict::kStreamedBody};
    if (!question.idempotent) return {RetryVerdict::kNotIdempotent};
  }

  bool stale_connection = question.failure != nullptr && question.failure->reused_connection &&
                          question.failure->code == FailureCode::kConnectionTerminated;
  if (stale_connection && !question.free_attempt_used) {
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
