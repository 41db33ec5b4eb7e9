// What kind of end an attempt had, and whether its request may be sent twice.
#pragma once

#include <string_view>

#include "model/failure.h"
#include "model/headers.h"

namespace fetchd::server {

enum class Classification {
  kSuccess,    // an answer: any status that another attempt would not change
  kRetryable,  // an unchanged attempt may fare better
  kPermanent   // it will not
};

// 502, 503 and 504 (RFC 9110 section 15.6) are retryable, every other status is a success.
Classification ClassifyStatus(int status);

// By IsTransient.
Classification ClassifyFailure(const Failure& failure);

// GET, HEAD, PUT, DELETE, OPTIONS, TRACE (RFC 9110 section 9.2.2), QUERY and PROPFIND (RFC 4918). Case-sensitive.
bool IsIdempotentMethod(std::string_view method);

// A request may be sent twice if its method is idempotent, if it carries an `idempotency-key`, or by the caller's word.
bool IsIdempotent(std::string_view method, const Headers& headers, bool callers_word);

}  // namespace fetchd::server
