#include <chrono>

#include "absl/strings/str_format.h"
#include "simulation/scenarios.h"
#include "simulation/simulation.h"

namespace fetchd::simulation {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

HourResult RunHour(uint64_t seed, std::ostream& out) {
  const auto began = std::chrono::steady_clock::now();
  server::OriginPolicy policy;
  policy.concurrency.adaptive = true;
  Simulation run({.seed = seed,
                  .policy = policy,
                  .origin = {.slow_share = 0.005,
                             .workers = 30,
                             .failure_share = 0.002,
                             .rate_limit = {.per_second = 300, .burst = 100}}});
  const std::vector<Fleet*> fleets = {
      &run.AddFleet({.name = "web",
                     .callers = 40,
                     .per_second = 60,
                     .hedge = {.enabled = true},
                     .priority = server::Priority::kInteractive}),
      &run.AddFleet({.name = "service", .callers = 10, .per_second = 30, .evenly = true}),
      &run.AddFleet({.name = "nightly", .callers = 2, .per_second = 10, .priority = server::Priority::kBulk})};
  SimulatedOrigin& origin = run.origin();
  run.At(minutes(5), [&] { origin.SetState(SimulatedOrigin::State::kRefusing, run.Now()); });
  run.At(minutes(6), [&] { origin.SetState(SimulatedOrigin::State::kUp, run.Now()); });
  run.At(minutes(15), [&] { origin.SetState(SimulatedOrigin::State::kHanging, run.Now()); });
  run.At(minutes(16), [&] { origin.SetState(SimulatedOrigin::State::kUp, run.Now()); });
  run.At(minutes(25), [&] { origin.SetFailureShare(0.3); });
  run.At(minutes(28), [&] { origin.SetFailureShare(0.002); });
  run.At(minutes(35), [&] { origin.SetMedian(milliseconds(100)); });
  run.At(minutes(38), [&] { origin.SetMedian(milliseconds(20)); });
  run.At(minutes(45), [&] { fleets[2]->SetRate(400); });
  run.At(minutes(47), [&] { fleets[2]->SetRate(10); });
  run.RunUntil(minutes(60));
  run.Finish();

  HourResult result{.digest = run.Digest()};
  uint64_t succeeded = 0;
  for (const Fleet* fleet : fleets) {
    result.fetches += fleet->tally().offered;
    succeeded += fleet->tally().succeeded;
  }
  result.succeeded = static_cast<double>(succeeded) / static_cast<double>(result.fetches);
  result.real_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();

  out << absl::StreamFormat(
      "hour: three fleets, an hour; the origin is down in minute 5, hangs in 15, fails by 30 %% in 25 to 27, is five "
      "times slower in 35 to 37, is flooded in 45 and 46; seed %d\n",
      seed);
  out << run.timeline().Table(0, 3600, 60);
  for (const Fleet* fleet : fleets) {
    const Tally& tally = fleet->tally();
    out << absl::StreamFormat(
        "  %-8s %7d offered, %.2f %% succeeded, p50 %.1f ms, p99 %.1f ms; unserved: %s\n", fleet->name(), tally.offered,
        100.0 * static_cast<double>(tally.succeeded) / static_cast<double>(tally.offered),
        1e3 * server::ToSeconds(tally.Latency(0.5)), 1e3 * server::ToSeconds(tally.Latency(0.99)), tally.Unserved());
  }
  out << absl::StreamFormat("  %d fetches, %d calls of the origin; digest %016x\n\n", result.fetches, origin.calls(),
                            result.digest);
  return result;
}

}  // namespace fetchd::simulation
