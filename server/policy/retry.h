// Whether another attempt follows.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "model/failure.h"
#include "model/request.h"
#include "policy/classify.h"
#include "policy/deadline.h"

namespace fetchd::server {

// What came of the attempt just made, and what is left for another one.
struct RetryQuestion {
  // The failure, or null if a response came.
  const Failure* failure = nullptr;
  // The response's status. Read only without a failure.
  int status = 0;
  // IsIdempotent of the request.
  bool idempotent = false;
  // The request body is streamed: once a part of it was sent it cannot be sent again.
  bool streamed_body = false;
  // A part of it was sent, in any attempt.
  bool body_begun = false;
  // Attempts made so far, the free ones (kRetryFresh) not counted; 1 or more.
  int attempts = 1;
  // A free attempt was made already.
  bool free_attempt_used = false;
  // How long the origin asked us to wait (Retry-After), if it did.
  std::optional<Duration> retry_after;
  // RetryDecision::wait of the last kRetry; 0 before the first.
  Duration previous_wait{};
  Instant now;
  Instant deadline = kNever;
};

enum class RetryVerdict {
  kDone,        // a success: nothing to retry
  kRetry,       // after `wait`
  kRetryFresh,  // at once and for free, on another connection or HTTP/2 stream: a reused one had died, or the request
                // was turned away unread
  kPermanent,   // another attempt would end the same way
  kRefused,     // a limit of ours turned the attempt away (IsOwnRefusal)
  kNotIdempotent,   // the origin may have acted, and acting twice may do harm
  kStreamedBody,    // a part of the streamed body is gone
  kNoAttemptsLeft,  // max_attempts is reached
  kNoBudget,        // said by who pays: the origin's retry budget is used up
  kDoesNotFit       // the wait leaves no time before the deadline, or the origin asked for more than max_retry_after
};

// Lower-case name for logs, such as "no_attempts_left".
std::string_view ToString(RetryVerdict verdict);

struct RetryDecision {
  RetryVerdict verdict = RetryVerdict::kDone;
  // With kRetry: the larger of Retry-After and the backoff.
  Duration wait{};
  bool again() const { return verdict == RetryVerdict::kRetry || verdict == RetryVerdict::kRetryFresh; }
};

// Pure but for `random`. See fetchd.v1.RetryPolicy for the rules.
RetryDecision DecideRetry(const RetryQuestion& question, const RetryOptions& options, Random& random);

}  // namespace fetchd::server
