// How long to wait before the next attempt.
#pragma once

#include "base/clock.h"
#include "base/random.h"

namespace fetchd::server {

// The upper end of the wait before retry number `retry` (1 for the first): `initial` doubled with each further retry,
// at most `max`.
Duration BackoffCeiling(int retry, Duration initial, Duration max);

// "Full jitter": uniform between 0 and BackoffCeiling, so that callers who failed together do not come back together.
Duration FullJitterBackoff(int retry, Duration initial, Duration max, Random& random);

}  // namespace fetchd::server
