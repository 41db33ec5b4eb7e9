// An origin as it is at one instant, for viewers.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "model/ip_address.h"
#include "policy/circuit_breaker.h"

namespace fetchd::server {

struct OriginState;

// A value; see fetchd.v1.Origin for what each is. Instants of the engine are civil time here.
struct OriginSnapshot {
  struct Ejected {
    IpAddress address;
    WallTime until;
    bool operator==(const Ejected&) const = default;
  };

  std::string name;
  std::string rule;

  size_t open = 0, idle = 0, active = 0, waiting_for_connection = 0;

  BreakerState breaker = BreakerState::kClosed;
  bool forced = false;
  // While open, unless opened by hand without end.
  std::optional<WallTime> retry_at;
  int consecutive_failures = 0;
  CircuitBreaker::Counts counts;
  int trials_in_flight = 0;

  // Attempts per second; 0: no limit.
  double per_second = 0;
  int burst = 0;
  // Unset: at once.
  std::optional<WallTime> next_at;

  int limit = 0, in_flight = 0;
  bool adaptive = false;

  // By Priority; and callers in all of them.
  std::array<size_t, 3> queued{};
  size_t callers = 0;

  double budget = 0;
  int retries_in_flight = 0;

  // Unset if it is over.
  std::optional<WallTime> hold_until;
  std::vector<Ejected> ejected;
  std::optional<Duration> latency_p95;
};

// On the owner thread.
OriginSnapshot TakeSnapshot(const OriginState& origin, const Clock& clock);

// Whether a watcher wants to hear of it: breaker, hold, limits, rule or ejected endpoints differ. `retry_at` and the
// like are compared to the millisecond, as civil time is derived anew each time.
bool DiffersForWatchers(const OriginSnapshot& a, const OriginSnapshot& b);

}  // namespace fetchd::server
