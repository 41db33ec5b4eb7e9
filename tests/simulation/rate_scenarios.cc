#include <chrono>

#include "absl/strings/str_format.h"
#include "simulation/scenarios.h"
#include "simulation/simulation.h"

namespace fetchd::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

RetryAfterResult RunRetryAfter(uint64_t seed, std::ostream& out) {
  constexpr double kAllowed = 100;
  Simulation run({.seed = seed, .origin = {.rate_limit = {.per_second = kAllowed, .burst = 50}}});
  Fleet& fleet = run.AddFleet({.callers = 50, .per_second = 80});
  run.At(seconds(20), [&] { fleet.SetRate(150); });
  // The end of what the origin asked for first.
  Instant told_until{};
  for (int i = 0; i < 100; ++i)
    run.At(seconds(20) + milliseconds(100) * i, [&] {
      if (told_until != Instant{} || run.origin().told_to_wait() == 0) return;
      told_until = run.origin().told_until();
      fleet.SetRate(80);
    });
  run.RunUntil(seconds(70));
  run.Finish();

  const Arrivals& arrivals = run.origin().arrivals();
  RetryAfterResult result{.told = run.origin().told_to_wait(), .calls_too_early = run.origin().calls_too_early()};
  result.first_second = static_cast<double>(arrivals.Count(told_until, told_until + seconds(1))) / kAllowed;
  result.worst_second = static_cast<double>(arrivals.Peak(told_until, told_until + seconds(10), seconds(1))) / kAllowed;

  out << absl::StreamFormat(
      "retry-after: the origin allows 100 calls/s, then answers 429 and `Retry-After: 10`; 80 fetches/s of 50 callers, "
      "150/s from second 20 until it says so; seed %d\n",
      seed);
  const auto at = static_cast<size_t>((told_until - run.InstantAt({})) / seconds(1));
  out << run.timeline().Table(at - 12, at + 14);
  out << absl::StreamFormat(
      "  %d answers of 429; %d calls before the end of what they ask; in the first second after it %.2f x the allowed "
      "rate, in any of the ten after it %.2f x\n  unserved: %s\n\n",
      result.told, result.calls_too_early, result.first_second, result.worst_second, fleet.tally().Unserved());
  return result;
}

FairnessResult RunFairness(int open, uint64_t seed, std::ostream& out) {
  server::OriginPolicy policy;
  policy.rate_limit = {.per_second = 100, .burst = 1};
  Simulation run({.seed = seed, .policy = policy});
  // The flood may wait as long as it likes.
  Fleet& flood = run.AddFleet({.name = "flood",
                               .open = open,
                               .timeouts = {.total = std::chrono::minutes(10), .queue = std::chrono::minutes(5)}});
  Fleet& single = run.AddFleet({.name = "single", .per_second = 1});
  run.RunUntil(seconds(300));
  run.Finish();

  const Tally& tally = single.tally();
  FairnessResult result{.flood_wait = flood.tally().Wait(0.99),
                        .single_wait = tally.Wait(0.99),
                        .single_offered = tally.offered,
                        .single_unserved = tally.offered - tally.succeeded};
  out << absl::StreamFormat(
      "fairness: 100 attempts/s; one caller keeps %d fetches open, another asks once a second, for 300 s; seed %d\n"
      "  flood: %d served, p99 wait %.1f ms; the other: %d of %d served, p50 wait %.1f ms, p99 %.1f ms; unserved: "
      "%s\n\n",
      open, seed, flood.tally().succeeded, 1e3 * server::ToSeconds(result.flood_wait), tally.succeeded, tally.offered,
      1e3 * server::ToSeconds(tally.Wait(0.5)), 1e3 * server::ToSeconds(result.single_wait), tally.Unserved());
  return result;
}

}  // namespace fetchd::simulation
