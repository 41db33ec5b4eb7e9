#include <chrono>

#include "absl/strings/str_format.h"
#include "simulation/scenarios.h"
#include "simulation/simulation.h"

namespace fetchd::simulation {

using std::chrono::seconds;

OutageResult RunOutage(const OutageSetup& setup, uint64_t seed, std::ostream& out) {
  const bool refusing = setup.how == SimulatedOrigin::State::kRefusing;
  const Duration down = seconds(20);
  const Duration up = down + setup.lasts;
  const Duration end = up + seconds(40);
  server::OriginPolicy policy;
  policy.breaker = setup.breaker;
  Simulation run({.seed = seed, .policy = policy});
  Fleet& fleet = run.AddFleet({.callers = 50, .per_second = 1000});
  run.At(down, [&] { run.origin().SetState(setup.how, run.Now()); });
  run.At(up, [&] { run.origin().SetState(SimulatedOrigin::State::kUp, run.Now()); });
  uint64_t offered = 0;
  run.At(down, [&] { offered = fleet.tally().offered; });
  run.At(up, [&] { offered = fleet.tally().offered - offered; });
  run.RunUntil(end);
  run.Finish();

  const Arrivals& arrivals = run.origin().arrivals();
  OutageResult result{.offered = offered, .reached = arrivals.Count(run.InstantAt(down), run.InstantAt(up))};
  result.share = static_cast<double>(result.reached) / static_cast<double>(offered);
  result.steady = static_cast<double>(arrivals.Count(run.InstantAt(seconds(5)), run.InstantAt(down))) / 15;
  result.recovery = fleet.tally().last_unserved_began - run.InstantAt(up);
  result.peak = static_cast<double>(arrivals.Peak(run.InstantAt(up), run.InstantAt(end - seconds(1)), seconds(1))) /
                result.steady;
  result.digest = run.Digest();

  out << absl::StreamFormat("outage: the origin %s for %.1f s; 1,000 fetches/s of 50 callers; seed %d\n",
                            refusing ? "refuses connections" : "takes calls and answers none",
                            server::ToSeconds(setup.lasts), seed);
  const auto from = static_cast<size_t>(down / seconds(1));
  const auto to = static_cast<size_t>(up / seconds(1));
  out << run.timeline().Table(from - 2, from + 12) << "    ...\n" << run.timeline().Table(to - 4, to + 8);
  out << absl::StreamFormat(
      "  while down %d of %d offered reached it: %.3f %%; full rate %.2f s after its return; then at most %.2f x the "
      "rate of before (%.0f/s)\n  unserved: %s\n\n",
      result.reached, result.offered, 100 * result.share, server::ToSeconds(result.recovery), result.peak,
      result.steady, fleet.tally().Unserved());
  return result;
}

FailingResult RunFailing(double share, double per_second, const server::BreakerOptions& breaker, uint64_t seed,
                         std::ostream& out) {
  server::OriginPolicy policy;
  policy.breaker = breaker;
  Simulation run({.seed = seed, .policy = policy, .origin = {.failure_share = share}});
  Fleet& fleet = run.AddFleet({.callers = 50, .per_second = per_second});
  run.RunUntil(std::chrono::minutes(2));
  run.Finish();

  const Tally& tally = fleet.tally();
  const auto offered = static_cast<double>(tally.offered);
  FailingResult result{.amplification = static_cast<double>(run.origin().calls()) / offered,
                       .succeeded = static_cast<double>(tally.succeeded) / offered,
                       .refused = tally.failures[static_cast<size_t>(server::FailureCode::kCircuitOpen)]};
  out << absl::StreamFormat(
      "failing: %.0f %% of its answers are 503; %.0f fetches/s for 120 s; consecutive_failures %d, min_volume %d; "
      "seed %d\n"
      "  %.3f attempts per fetch; %.2f %% succeeded (%.2f %% without retries); unserved: %s\n\n",
      100 * share, per_second, breaker.consecutive_failures, breaker.min_volume, seed, result.amplification,
      100 * result.succeeded, 100 * (1 - share), tally.Unserved());
  return result;
}

}  // namespace fetchd::simulation
