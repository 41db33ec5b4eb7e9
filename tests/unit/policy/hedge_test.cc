#include "policy/hedge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(LatencyEstimate, SaysNothingBeforeItHasAHundred) {
  LatencyEstimate estimate;
  for (uint32_t i = 1; i < LatencyEstimate::kLeastAnswers; ++i) estimate.Add(milliseconds(10));
  EXPECT_EQ(estimate.p95(), std::nullopt);
  estimate.Add(milliseconds(10));
  ASSERT_TRUE(estimate.p95());
}

// Every latency is at most what its bucket says, and no more than an eighth below it.
TEST(LatencyEstimate, IsAnEighthTooMuchAtMost) {
  for (Duration latency{}; latency < hours(15); latency += latency / 50 + Duration(500)) {
    LatencyEstimate estimate;
    for (int i = 0; i < 100; ++i) estimate.Add(latency);
    const Duration p95 = estimate.p95().value();
    ASSERT_GT(p95, latency);
    ASSERT_LE(p95, latency + latency / 8 + microseconds(1));
  }
}

TEST(LatencyEstimate, ExtremesFit) {
  for (Duration latency : {Duration::min(), Duration(-1), Duration::zero(), Duration::max()}) {
    LatencyEstimate estimate;
    for (int i = 0; i < 5000; ++i) estimate.Add(latency);
    EXPECT_GT(estimate.p95().value(), Duration::zero());
  }
}

TEST(LatencyEstimate, NineteenOfTwentyStayUnderIt) {
  for (int slow : {4, 5, 6}) {
    SCOPED_TRACE(slow);
    LatencyEstimate estimate;
    for (int i = 0; i < 100; ++i) estimate.Add(i < slow ? seconds(1) : milliseconds(10));
    if (slow > 5)
      EXPECT_GT(estimate.p95().value(), seconds(1));
    else
      EXPECT_LT(estimate.p95().value(), milliseconds(12));
  }
}

// Against the exact p95 of the last 1,000 and 2,000 answers, while the origin changes.
TEST(LatencyEstimate, FollowsTheOrigin) {
  Random random(1);
  LatencyEstimate estimate;
  for (Duration usual : {milliseconds(10), milliseconds(80), milliseconds(2)}) {
    std::vector<Duration> all;
    for (int i = 0; i < 20'000; ++i) {
      const double r = random.NextDouble();
      const auto latency = Duration(static_cast<Duration::rep>(static_cast<double>(usual.count()) * (0.5 + r * r * 4)));
      all.push_back(latency);
      estimate.Add(latency);
    }
    const auto p95 = all.begin() + static_cast<std::ptrdiff_t>(all.size() * 95 / 100);
    std::nth_element(all.begin(), p95, all.end());
    EXPECT_GT(estimate.p95().value(), *p95 * 0.9);
    EXPECT_LT(estimate.p95().value(), *p95 * 1.25);
  }
}

TEST(LatencyEstimate, HedgesAtMostOneInTwenty) {
  Random random(2);
  LatencyEstimate estimate;
  int hedged = 0;
  constexpr int kAnswers = 20'000;
  for (int i = 0; i < kAnswers; ++i) {
    const Duration latency =
        random() % 50 == 0 ? seconds(1) : milliseconds(10) + microseconds(static_cast<int>(random() % 10'000));
    if (auto delay = HedgeDelay({.enabled = true}, estimate)) hedged += latency > *delay;
    estimate.Add(latency);
  }
  EXPECT_LE(hedged, kAnswers / 20);
  EXPECT_GE(hedged, kAnswers / 50 * 9 / 10);  // all of the slow ones
}

TEST(HedgeDelay, IsWhatTheOptionsSayOrElseLearnt) {
  LatencyEstimate none, known;
  for (int i = 0; i < 100; ++i) known.Add(milliseconds(10));
  EXPECT_EQ(HedgeDelay({}, known), std::nullopt);
  EXPECT_EQ(HedgeDelay({.enabled = false, .delay = seconds(1)}, known), std::nullopt);
  EXPECT_EQ(HedgeDelay({.enabled = true}, none), std::nullopt);
  EXPECT_EQ(HedgeDelay({.enabled = true}, known), known.p95());
  EXPECT_EQ(HedgeDelay({.enabled = true, .delay = seconds(1)}, none), seconds(1));
  EXPECT_EQ(HedgeDelay({.enabled = true, .delay = Duration(1)}, known), Duration(1));
}

}  // namespace
}  // namespace fetchd::server
