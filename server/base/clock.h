// The only door to the system's time. Decisions take `now` as a parameter; rooms that act take a `Clock`.
#pragma once

#include <chrono>

namespace fetchd::server {

// A length of time. Signed nanoseconds, about 292 years.
using Duration = std::chrono::nanoseconds;

// A point of monotonic time: never set back, meaningless to another process.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// A point of civil time, for people, logs and HTTP dates; it may jump.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

// An instant that never comes: "no deadline".
inline constexpr Instant kNever = Instant::max();

// Adds without overflow: kNever stays kNever.
inline Instant After(Instant now, Duration d) {
  if (d < Duration::zero()) return now;
  return d > kNever - now ? kNever : now + d;
}

inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Where rooms read the time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant Now() const = 0;
  virtual WallTime WallNow() const = 0;
};

// The machine's clocks.
const Clock& SystemClock();

}  // namespace fetchd::server
