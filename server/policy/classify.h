// What kind of end an attempt had, and whether its request may be sent twice.
#pragma once

#include <string_view>

#include "model/failure.h"
#include "model/headers.h"
#include "model/status_set.h"

namespace fetchd::server {

enum class Classification {
  kSuccess,    // an answer: any status that another attempt would not change
  kRetryable,  // an unchanged attempt may fare better
  kPermanent   // it will not
};

// The statuses in `retryable` are, every other one is a success.
Classification ClassifyStatus(int status, const StatusSet& retryable);

// By IsTransient.
Classification ClassifyFailure(const Failure& failure);

// An attempt that a policy or limit of ours turned away before it was sent: the circuit breaker, a rate, a full queue,
// or the queue timeout. The next attempt of the same fetch would be turned away too.
bool IsOwnRefusal(FailureCode code);

// GET, HEAD, PUT, DELETE, OPTIONS, TRACE (RFC 9110 section 9.2.2), QUERY and PROPFIND (RFC 4918). Case-sensitive.
bool IsIdempotentMethod(std::string_view method);

// A request may be sent twice if its method is idempotent, if it carries an `idempotency-key`, or by the caller's word.
bool IsIdempotent(std::string_view method, const Headers& headers, bool callers_word);

}  // namespace fetchd::server
