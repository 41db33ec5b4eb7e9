// How long to wait before the next attempt.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "model/request.h"

namespace fetchd::server {

// The upper end of the wait before retry number `retry` (1 for the first): `initial` doubled with each further retry,
// at most `max`.
Duration BackoffCeiling(int retry, Duration initial, Duration max);

// The wait before retry number `retry`, by `options.jitter`, so that callers who failed together do not come back
// together:
//   kNone          the ceiling
//   kFull          uniform between 0 and the ceiling
//   kEqual         uniform between half of the ceiling and the ceiling
//   kDecorrelated  uniform between `initial_backoff` and three times `previous`, at most `max_backoff`
// `previous` is the wait before the last attempt; 0, for the first retry, counts as `initial_backoff`.
Duration DrawBackoff(int retry, Duration previous, const RetryOptions& options, Random& random);

}  // namespace fetchd::server
