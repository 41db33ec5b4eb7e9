// What the defaults of the policies are judged by. Each scenario prints what happened and returns the figures.
#pragma once

#include <cstdint>
#include <ostream>
#include <vector>

#include "engine/origin_brain.h"
#include "simulation/measures.h"
#include "simulation/simulated_origin.h"

namespace fetchd::simulation {

// The seed of every scenario, unless the command line gives another one.
inline constexpr uint64_t kSeed = 20261122;

// outage_scenarios.cc

struct OutageSetup {
  SimulatedOrigin::State how = SimulatedOrigin::State::kRefusing;
  Duration lasts = std::chrono::seconds(60);
  server::BreakerOptions breaker = {};
};
struct OutageResult {
  uint64_t offered = 0;  // fetches that began while it was down
  uint64_t reached = 0;  // attempts that came to it meanwhile
  double share = 0;
  double steady = 0;  // attempts per second before
  // From its return until fetches succeed as before: the last one that did not, began so long after.
  Duration recovery{};
  double peak = 0;  // the most attempts in any second after its return, by steady
  uint64_t digest = 0;
};
// 1,000 fetches per second of 50 callers; the origin is down for a while from the 20th second on.
OutageResult RunOutage(const OutageSetup& setup, uint64_t seed, std::ostream& out);

struct FailingResult {
  double amplification = 0;  // attempts at the origin by fetches
  double succeeded = 0;      // share of the fetches
  uint64_t refused = 0;      // fetches that the breaker refused, and so had no attempt
};
// An origin that answers this share of its calls with 503, for two minutes.
FailingResult RunFailing(double share, double per_second, const server::BreakerOptions& breaker, uint64_t seed,
                         std::ostream& out);

// rate_scenarios.cc

struct RetryAfterResult {
  uint64_t told = 0;             // 429s that the origin gave
  uint64_t calls_too_early = 0;  // calls that came before the end of what it asked
  double first_second = 0;       // calls in the first second after, by the origin's own rate
  double worst_second = 0;       // in any second of the ten after it
};
// An origin that allows 100 calls per second, is asked 80, then 150 for one second, and says `Retry-After: 10`.
RetryAfterResult RunRetryAfter(uint64_t seed, std::ostream& out);

struct FairnessResult {
  Duration flood_wait{};   // p99 at the gate
  Duration single_wait{};  // the same of the caller who asks once a second
  uint64_t single_offered = 0;
  uint64_t single_unserved = 0;
};
// One caller keeps `open` fetches open at an origin that is limited to 100 per second; another asks once a second.
FairnessResult RunFairness(int open, uint64_t seed, std::ostream& out);

// limit_scenarios.cc

struct KneeResult {
  struct Step {
    int knee = 0;     // of the origin
    double mean = 0;  // of the limit, over the last 20 s of a minute
    int least = 0;
    int most = 0;
    // Until the limit was within 20 % of the knee, and stayed so for a second.
    Duration found_after{};
  };
  std::vector<Step> steps;
};
// An adaptive limit at an origin whose knee moves each minute: 40, 80, 20, 40.
KneeResult RunKnee(uint64_t seed, std::ostream& out);

struct HedgeResult {
  Duration p50_without{}, p99_without{};
  Duration p50_with{}, p99_with{};
  double cut = 0;   // of p99
  double more = 0;  // attempts, by those without
};
// An origin of 20 ms of whose calls 2 % take 500 ms.
HedgeResult RunHedge(uint64_t seed, std::ostream& out);

// hour_scenario.cc

struct HourResult {
  uint64_t fetches = 0;
  double succeeded = 0;
  double real_seconds = 0;
  uint64_t digest = 0;
};
// An hour of three fleets at an origin that has one of everything: an outage, a hang, failures, a slow spell, a limit.
HourResult RunHour(uint64_t seed, std::ostream& out);

}  // namespace fetchd::simulation
