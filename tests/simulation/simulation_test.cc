// What the defaults promise (docs/simulation.md), over several seeds. A failure prints what happened.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <sstream>

#include "simulation/scenarios.h"

namespace fetchd::simulation {
namespace {

using State = SimulatedOrigin::State;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Each scenario with each seed.
class SimulationTest : public testing::TestWithParam<uint64_t> {
 protected:
  ~SimulationTest() override {
    if (HasFailure()) std::cout << "seed " << GetParam() << "\n" << out_.str();
  }
  uint64_t seed() const { return GetParam(); }
  std::ostringstream out_;
};
INSTANTIATE_TEST_SUITE_P(Seeds, SimulationTest, testing::Values(kSeed, 1, 2));

// Of every length within an open time, as the recovery depends on how they meet.
TEST_P(SimulationTest, AnOriginThatIsDownIsSparedAndFoundAgain) {
  for (const State how : {State::kRefusing, State::kHanging}) {
    for (const int more : {0, 700, 1400, 2100, 2800, 3500, 4200}) {
      SCOPED_TRACE(testing::Message() << (how == State::kHanging ? "hanging " : "refusing ") << more << " ms more");
      out_.str("");
      const OutageResult result = RunOutage({.how = how, .lasts = seconds(60) + milliseconds(more)}, seed(), out_);
      EXPECT_GT(result.offered, 59'000u);
      EXPECT_LE(result.share, 0.02);
      EXPECT_LE(result.recovery, seconds(5));
      EXPECT_LE(result.peak, 1.2);
      if (HasFailure()) return;
    }
  }
}

TEST_P(SimulationTest, RetriesAddAQuarterAtMostToAFailingOrigin) {
  for (const double rate : {1000.0, 100.0}) {
    const FailingResult result = RunFailing(0.3, rate, {}, seed(), out_);
    EXPECT_LE(result.amplification, 1.25);
    EXPECT_GE(result.succeeded, 0.8) << "retries are of use";
    EXPECT_EQ(result.refused, 0u) << "it is better than no origin";
  }
}

TEST_P(SimulationTest, NobodyCallsBeforeRetryAfterEnds) {
  const RetryAfterResult result = RunRetryAfter(seed(), out_);
  EXPECT_GT(result.told, 0u);
  EXPECT_EQ(result.calls_too_early, 0u);
  EXPECT_LE(result.first_second, 1.2);
  EXPECT_GE(result.first_second, 0.5) << "but those who waited go";
  EXPECT_LE(result.worst_second, 1.2);
}

TEST_P(SimulationTest, AnAdaptiveLimitFindsTheKneeAndFollowsIt) {
  for (const KneeResult::Step& step : RunKnee(seed(), out_).steps) {
    EXPECT_NEAR(step.mean, step.knee, 0.2 * step.knee);
    EXPECT_GE(step.least, 0.75 * step.knee);
    EXPECT_LE(step.most, 1.35 * step.knee);
    EXPECT_LE(step.found_after, seconds(15));
  }
}

TEST_P(SimulationTest, HedgesCutTheTailForFewAttempts) {
  const HedgeResult result = RunHedge(seed(), out_);
  EXPECT_GE(result.cut, 0.4);
  EXPECT_LE(result.more, 0.05);
  EXPECT_LE(result.p50_with, result.p50_without + milliseconds(1));
}

// Also by a flood that is larger than the queue.
TEST_P(SimulationTest, AFloodDoesNotStarveTheOther) {
  for (const int open : {200, 2000}) {
    const FairnessResult result = RunFairness(open, seed(), out_);
    EXPECT_GT(result.single_offered, 200u);
    EXPECT_EQ(result.single_unserved, 0u);
    EXPECT_LE(result.single_wait, milliseconds(100));
    EXPECT_GT(result.flood_wait, seconds(1));
  }
}

TEST(Simulation, ARunIsEqualToItsRepetition) {
  std::ostringstream first, second, other;
  const HourResult a = RunHour(kSeed, first);
  EXPECT_EQ(a.digest, RunHour(kSeed, second).digest);
  EXPECT_EQ(first.str(), second.str());
  EXPECT_NE(a.digest, RunHour(kSeed + 1, other).digest);
  EXPECT_GT(a.fetches, 300'000u);
}

}  // namespace
}  // namespace fetchd::simulation
