// What fits before a deadline: the one algebra of the RPC's deadline and of the total, attempt, queue and backoff
// times.
//
// Instants only come nearer on the way down: the fetch's deadline is the earlier of its total time and the RPC's
// deadline less a margin; an attempt's is the earlier of its own time and the fetch's; a wait, for a turn or for the
// next attempt, ends early enough for one more attempt. kNever and durations of any length saturate.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace fetchd::server {

// What an attempt needs at least. None is begun with less before the fetch's deadline.
inline constexpr Duration kLeastAttemptTime = std::chrono::milliseconds(1);

// The latest instant at which an attempt may begin.
inline Instant LatestAttempt(Instant deadline) { return deadline == kNever ? kNever : deadline - kLeastAttemptTime; }

// Do a wait of `wait` from `now` on and one more attempt fit before `deadline`? Without a wait: does the attempt?
inline bool AttemptFits(Instant now, Duration wait, Instant deadline) {
  return After(now, wait) <= LatestAttempt(deadline);
}

// Until when an attempt that begins at `now` may take.
inline Instant AttemptDeadline(Instant now, Duration attempt, Instant deadline) {
  return std::min(After(now, attempt), deadline);
}

// Until when to wait for a turn, beginning at `now`: for `queue` at most, and not so long that nothing is left for the
// attempt.
inline Instant WaitUntil(Instant now, Duration queue, Instant deadline) {
  return std::min(After(now, queue), LatestAttempt(deadline));
}

}  // namespace fetchd::server
