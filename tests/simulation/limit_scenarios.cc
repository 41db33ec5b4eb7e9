#include <algorithm>
#include <chrono>
#include <cmath>

#include "absl/strings/str_format.h"
#include "simulation/scenarios.h"
#include "simulation/simulation.h"

namespace fetchd::simulation {

using std::chrono::milliseconds;
using std::chrono::seconds;

KneeResult RunKnee(uint64_t seed, std::ostream& out) {
  constexpr int kKnees[] = {40, 80, 20, 40};
  constexpr Duration kStep = seconds(60);
  constexpr Duration kEvery = milliseconds(100);
  server::OriginPolicy policy;
  policy.concurrency = {.max = 400, .adaptive = true};
  Simulation run({.seed = seed, .policy = policy, .origin = {.median = milliseconds(50), .workers = kKnees[0]}});
  // More than the origin can do.
  Fleet& fleet = run.AddFleet({.callers = 50, .open = 600});
  for (size_t i = 0; i < std::size(kKnees); ++i)
    run.At(kStep * i, [&, i] { run.origin().SetWorkers(kKnees[i], run.Now()); });

  out << absl::StreamFormat(
      "knee: an adaptive limit; the origin serves 40, 80, 20, 40 calls at once, 50 ms each; 600 fetches kept open; "
      "seed %d\n    knee   limit (mean, least, most of the last 20 s)   within 20 %% after   base latency\n",
      seed);
  KneeResult result;
  for (size_t i = 0; i < std::size(kKnees); ++i) {
    KneeResult::Step step{.knee = kKnees[i], .least = 1'000'000};
    Duration good_since = kStep;
    double sum = 0;
    int samples = 0;
    for (Duration t = kEvery; t <= kStep; t += kEvery) {
      run.RunUntil(kStep * i + t);
      const server::ConcurrencyLimit& limit = run.brain().gate.concurrency();
      // A probe is meant to be elsewhere for a moment.
      if (limit.probing()) continue;
      const bool near = std::abs(limit.limit() - step.knee) <= 0.2 * step.knee;
      if (!near) good_since = kStep;
      if (near && good_since == kStep) good_since = t;
      if (near && step.found_after == Duration::zero() && t - good_since >= seconds(1)) step.found_after = good_since;
      if (t <= kStep - seconds(20)) continue;
      sum += limit.limit();
      ++samples;
      step.least = std::min(step.least, limit.limit());
      step.most = std::max(step.most, limit.limit());
    }
    step.mean = sum / samples;
    if (step.found_after == Duration::zero()) step.found_after = kStep;
    result.steps.push_back(step);
    out << absl::StreamFormat("    %4d   %5.1f %5d %5d %44.1f s   %12.0f ms\n", step.knee, step.mean, step.least,
                              step.most, server::ToSeconds(step.found_after),
                              1e3 * server::ToSeconds(run.brain().gate.concurrency().base()));
  }
  run.Finish();
  out << absl::StreamFormat("  %d fetches served\n\n", fleet.tally().succeeded);
  return result;
}

HedgeResult RunHedge(uint64_t seed, std::ostream& out) {
  HedgeResult result;
  uint64_t attempts[2] = {};
  for (const bool hedged : {false, true}) {
    Simulation run({.seed = seed, .origin = {.slow_share = 0.02, .slow = milliseconds(500)}});
    Fleet& fleet = run.AddFleet({.callers = 50, .per_second = 500, .evenly = true, .hedge = {.enabled = hedged}});
    run.RunUntil(std::chrono::minutes(2));
    run.Finish();
    (hedged ? result.p50_with : result.p50_without) = fleet.tally().Latency(0.5);
    (hedged ? result.p99_with : result.p99_without) = fleet.tally().Latency(0.99);
    attempts[hedged] = run.origin().calls();
    if (hedged)
      out << absl::StreamFormat(
          "hedge: 20 ms, and 500 ms for 2 %% of the calls; 500 fetches/s for 120 s; seed %d\n  %d hedges, %d won; "
          "learnt "
          "p95 %.1f ms\n",
          seed, run.metrics().hedges.value(), run.metrics().hedges_won.value(),
          1e3 * server::ToSeconds(run.brain().latency.p95().value_or(Duration::zero())));
  }
  result.cut = 1 - server::ToSeconds(result.p99_with) / server::ToSeconds(result.p99_without);
  result.more = static_cast<double>(attempts[1]) / static_cast<double>(attempts[0]) - 1;
  out << absl::StreamFormat(
      "  p50 %.1f ms without, %.1f ms with; p99 %.1f ms without, %.1f ms with: %.0f %% less, for %.2f %% more "
      "attempts\n\n",
      1e3 * server::ToSeconds(result.p50_without), 1e3 * server::ToSeconds(result.p50_with),
      1e3 * server::ToSeconds(result.p99_without), 1e3 * server::ToSeconds(result.p99_with), 100 * result.cut,
      100 * result.more);
  return result;
}

}  // namespace fetchd::simulation
