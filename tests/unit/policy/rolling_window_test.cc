#include "policy/rolling_window.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));

void Add(RollingWindow<2>& window, size_t counter, Instant now) {
  window.Roll(now);
  window.Count(counter);
}

TEST(RollingWindow, AnEventCountsForNineTenthsAndIsGoneAfterTheWindow) {
  RollingWindow<2> window(seconds(10));
  Add(window, 0, kNow);
  Add(window, 1, kNow + milliseconds(999));
  EXPECT_EQ(window.At(kNow + milliseconds(9999)).total(0), 1u);
  EXPECT_EQ(window.At(kNow + milliseconds(9999)).total(1), 1u);
  EXPECT_EQ(window.At(kNow + milliseconds(10000)).total(0), 0u);
  EXPECT_EQ(window.At(kNow + milliseconds(10000)).total(1), 0u);
  EXPECT_EQ(window.total(0), 1u) << "At changes nothing";
}

TEST(RollingWindow, CoveredGrowsFromTheFirstEventToTheWindow) {
  RollingWindow<1> window(seconds(10));
  EXPECT_EQ(window.covered(kNow), Duration::zero());
  window.Roll(kNow);
  EXPECT_EQ(window.covered(kNow), Duration::zero());
  EXPECT_EQ(window.covered(kNow + milliseconds(300)), milliseconds(300));
  window.Roll(kNow + milliseconds(2500));
  EXPECT_EQ(window.covered(kNow + milliseconds(2500)), milliseconds(2500));
  for (int s = 3; s < 40; ++s) window.Roll(kNow + seconds(s));
  EXPECT_EQ(window.covered(kNow + milliseconds(39999)), milliseconds(9999));
}

TEST(RollingWindow, AnEarlierNowCountsAsTheLatest) {
  RollingWindow<2> window(seconds(10));
  Add(window, 0, kNow + seconds(5));
  Add(window, 0, kNow);
  EXPECT_EQ(window.total(0), 2u);
}

TEST(RollingWindow, ShortestWindowWorks) {
  RollingWindow<2> window(Duration::zero());
  Add(window, 0, kNow);
  Add(window, 0, kNow + Duration(1));
  EXPECT_EQ(window.total(0), 2u);
  window.Roll(kNow + Duration(100));
  EXPECT_EQ(window.total(0), 0u);
}

TEST(RollingWindow, TotalsAreBetweenThoseOfNineTenthsAndOfTheWhole) {
  Random random(11);
  RollingWindow<2> window(seconds(1));
  std::deque<Instant> events;
  Instant now = kNow;
  for (int i = 0; i < 20000; ++i) {
    // Mostly dense, now and then a gap longer than a bucket or than the window.
    double dice = random.NextDouble();
    now += Duration(static_cast<int64_t>(random.NextDouble() * (dice < 0.9 ? 5e6 : dice < 0.99 ? 3e8 : 2e9)));
    Add(window, 0, now);
    events.push_back(now);
    while (now - events.front() >= seconds(1)) events.pop_front();
    size_t recent = 0;
    for (Instant event : events) recent += now - event < milliseconds(900);
    EXPECT_LE(window.total(0), events.size());
    EXPECT_GE(window.total(0), recent);
  }
}

}  // namespace
}  // namespace fetchd::server
