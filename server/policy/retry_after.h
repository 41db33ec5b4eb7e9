// When an origin wants to be asked again.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

// The instant a Retry-After field names (RFC 9110 section 10.2.3): delta-seconds counted from `now`, or an HTTP-date in
// any of the three forms of section 5.6.7. A date in the past is `now`. nullopt if it is malformed. Not capped: see
// RetryOptions::max_retry_after; but never more than ten years ahead.
std::optional<WallTime> ParseRetryAfter(std::string_view value, WallTime now);

// An HTTP-date: IMF-fixdate, RFC 850 or asctime form. A two-digit year more than 50 years ahead of `now` is in the
// past.
std::optional<WallTime> ParseHttpDate(std::string_view value, WallTime now);

}  // namespace fetchd::server
