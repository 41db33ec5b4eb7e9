// What a response says about when its origin wants to be asked again.
#pragma once

#include <optional>

#include "base/clock.h"
#include "model/headers.h"

namespace fetchd::server {

struct RateLimitAdvice {
  // How long no caller should ask the origin: more than 0, at most OriginHold::kLongestHold.
  std::optional<Duration> hold;
  bool operator==(const RateLimitAdvice&) const = default;
};

// Reads these, and the first that says something counts:
// - Retry-After of a 429 or 503 (RFC 9110 section 10.2.3, RFC 6585 section 4);
// - RateLimit, with the window of RateLimit-Policy where it has no reset (draft-ietf-httpapi-ratelimit-headers-10),
// also
//   as in drafts 06 and 07, "limit=10, remaining=0, reset=7"; the longest wait of all quotas that are used up;
// - RateLimit-Remaining and -Reset (draft 05), X-RateLimit-Remaining and -Reset: seconds, or unix time in s or ms.
//
// A quota that is not used up says nothing. A malformed field is ignored as if it were not there (RFC 9651
// section 4.2). `now` tells how far away a date is.
RateLimitAdvice ReadRateLimit(int status, const Headers& headers, WallTime now);

}  // namespace fetchd::server
