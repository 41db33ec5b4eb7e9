#include "policy/outlier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));
constexpr Duration kTick = Duration(1);

IpAddress Address(int i) { return IpAddress::V4({192, 0, 2, static_cast<uint8_t>(i)}); }

std::vector<IpAddress> Addresses(int n) {
  std::vector<IpAddress> all;
  for (int i = 0; i < n; ++i) all.push_back(Address(i));
  return all;
}

// `n` failures of an address while `goods` others, from `good` on, do well. True if the last one had it left out.
bool FailBesides(OutlierTracker& tracker, int bad, int good, int n, Instant now, int goods = 1) {
  bool ejected = false;
  for (int i = 0; i < n; ++i) {
    EXPECT_FALSE(ejected);
    ejected = tracker.OnResult(Address(bad), false, now);
    for (int j = 0; j < goods; ++j) EXPECT_FALSE(tracker.OnResult(Address(good + j), true, now));
  }
  return ejected;
}

std::vector<IpAddress> Filtered(const OutlierTracker& tracker, int n, Instant now) {
  std::vector<IpAddress> all = Addresses(n);
  tracker.Filter(all, now);
  return all;
}

TEST(Outlier, LeftOutAtTheNthFailureInARow) {
  for (int n : {1, 2, 5}) {
    OutlierTracker tracker({.consecutive_failures = n});
    // Somebody's failure before, so that the siblings are listened to from the start.
    tracker.OnResult(Address(1), false, kNow);
    for (int i = 0; i < 4; ++i) tracker.OnResult(Address(1), true, kNow);
    EXPECT_FALSE(FailBesides(tracker, 0, 1, n - 1, kNow));
    EXPECT_FALSE(tracker.Ejected(Address(0), kNow));
    EXPECT_TRUE(tracker.OnResult(Address(0), false, kNow)) << n;
    EXPECT_TRUE(tracker.Ejected(Address(0), kNow));
    EXPECT_FALSE(tracker.Ejected(Address(1), kNow));
    EXPECT_EQ(tracker.ejected(kNow), std::vector<IpAddress>{Address(0)});
  }
}

TEST(Outlier, ASuccessEndsTheRun) {
  OutlierTracker tracker({});
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(FailBesides(tracker, 0, 1, 4, kNow));
    tracker.OnResult(Address(0), true, kNow);
  }
}

TEST(Outlier, NobodyIsLeftOutWithoutAWellSibling) {
  OutlierTracker alone({});
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(alone.OnResult(Address(0), false, kNow));

  OutlierTracker all({});
  for (int i = 0; i < 300; ++i) EXPECT_FALSE(all.OnResult(Address(i % 3), false, kNow + milliseconds(i)));
  EXPECT_EQ(Filtered(all, 3, kNow + seconds(1)), Addresses(3));

  // A success from before the failures began is none.
  OutlierTracker before({});
  before.OnResult(Address(1), false, kNow - seconds(1));
  for (int i = 0; i < 15; ++i) before.OnResult(Address(1), true, kNow - kTick);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(before.OnResult(Address(0), false, kNow));
  before.OnResult(Address(1), true, kNow);
  EXPECT_TRUE(before.OnResult(Address(0), false, kNow));
}

TEST(Outlier, HalfOfTheSiblingsMustBeWell) {
  for (int well : {1, 2, 3}) {
    OutlierTracker tracker({});
    bool ejected = false;
    for (int i = 0; i < 5; ++i) {
      ejected = tracker.OnResult(Address(0), false, kNow);
      for (int j = 1; j <= 4; ++j) EXPECT_FALSE(tracker.OnResult(Address(j), j <= well || i % 2 == 0, kNow));
    }
    EXPECT_EQ(ejected, well >= 2) << well << " of 4";
  }
}

TEST(Outlier, SiblingsMayFailOneTimeInFour) {
  for (int failures : {3, 4, 5}) {
    OutlierTracker tracker({});
    tracker.OnResult(Address(0), false, kNow);
    for (int i = 0; i < 16; ++i) tracker.OnResult(Address(1), i >= failures, kNow);
    for (int i = 0; i < 3; ++i) tracker.OnResult(Address(0), false, kNow);
    EXPECT_EQ(tracker.OnResult(Address(0), false, kNow), failures <= 4) << failures << " of 16";
  }
}

TEST(Outlier, AnOriginWhereHalfFailsEverywhereLosesNobody) {
  Random random(9);
  OutlierTracker tracker({});
  int ejections = 0;
  for (int i = 0; i < 20000; ++i)
    ejections += tracker.OnResult(Address(static_cast<int>(random() % 4)), random() % 2 == 0, kNow + milliseconds(i));
  EXPECT_LE(ejections, 3);
}

TEST(Outlier, ComesBackAfterItsTimeAndStaysAwayLongerEachTime) {
  OutlierTracker tracker({});
  Instant now = kNow;
  for (int times = 1; times <= 12; ++times) {
    ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, now)) << times;
    Duration away = std::min<Duration>(times * seconds(30), minutes(5));
    EXPECT_TRUE(tracker.Ejected(Address(0), now + away - kTick)) << times;
    EXPECT_FALSE(tracker.Ejected(Address(0), now + away)) << times;
    now += away;
  }
  // A success, and it begins anew.
  tracker.OnResult(Address(0), true, now);
  ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, now));
  EXPECT_FALSE(tracker.Ejected(Address(0), now + seconds(30)));
}

TEST(Outlier, ResultsOfOneLeftOutAreLate) {
  OutlierTracker tracker({});
  ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, kNow));
  tracker.OnResult(Address(0), true, kNow + seconds(1));
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(tracker.OnResult(Address(0), false, kNow + seconds(1)));
  EXPECT_TRUE(tracker.Ejected(Address(0), kNow + seconds(30) - kTick));
  EXPECT_FALSE(tracker.Ejected(Address(0), kNow + seconds(30)));
}

TEST(Outlier, WhenTheRestFailsTooAllAreLetInAgain) {
  OutlierTracker tracker({});
  ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, kNow));
  EXPECT_EQ(Filtered(tracker, 2, kNow), std::vector<IpAddress>{Address(1)});
  for (int i = 0; i < 4; ++i) tracker.OnResult(Address(1), false, kNow + seconds(1));
  EXPECT_TRUE(tracker.Ejected(Address(0), kNow + seconds(1)));
  EXPECT_FALSE(tracker.OnResult(Address(1), false, kNow + seconds(1)));
  EXPECT_FALSE(tracker.Ejected(Address(0), kNow + seconds(1)));
  EXPECT_FALSE(tracker.Ejected(Address(1), kNow + seconds(1)));
  EXPECT_EQ(Filtered(tracker, 2, kNow + seconds(1)), Addresses(2));
}

TEST(Outlier, FilterLeavesOutNoMoreThanTheShareAndNeverAll) {
  struct Row {
    int addresses, ejected;
    double share;
    size_t left;
  };
  for (Row row : {Row{1, 1, 1.0, 1}, Row{2, 1, 0.5, 1}, Row{2, 2, 0.5, 1}, Row{2, 2, 1.0, 1}, Row{3, 2, 0.5, 2},
                  Row{4, 1, 0.5, 3}, Row{4, 2, 0.5, 2}, Row{4, 3, 0.5, 2}, Row{4, 4, 1.0, 1}, Row{4, 2, 0.1, 3},
                  Row{4, 2, 0.0, 4}, Row{10, 3, 0.3, 7}, Row{10, 4, 0.3, 7}, Row{10, 3, 0.29, 8}}) {
    OutlierTracker tracker({.max_ejected = row.share});
    // Those from 100 on are well, and not in the list.
    for (int i = 0; i < row.ejected; ++i) ASSERT_TRUE(FailBesides(tracker, i, 100, 5, kNow, 4));
    std::vector<IpAddress> left = Filtered(tracker, row.addresses, kNow);
    EXPECT_EQ(left.size(), row.left) << row.addresses << " " << row.ejected << " " << row.share;
  }
}

TEST(Outlier, FilterKeepsTheOrderAndPrefersThoseLeftOutLess) {
  OutlierTracker tracker({.max_ejected = 0.5});
  ASSERT_TRUE(FailBesides(tracker, 2, 100, 5, kNow, 4));
  Instant now = kNow + seconds(30);
  for (int i : {0, 1, 2}) ASSERT_TRUE(FailBesides(tracker, i, 100, 5, now + seconds(i), 4));
  std::vector<IpAddress> all = {Address(3), Address(2), Address(1), Address(0)};
  tracker.Filter(all, now + seconds(3));
  // Address 2 was left out twice, then address 1 for longer than 0.
  EXPECT_EQ(all, (std::vector<IpAddress>{Address(3), Address(0)}));
  std::vector<IpAddress> empty;
  tracker.Filter(empty, now);
  EXPECT_TRUE(empty.empty());
}

TEST(Outlier, NotEnabledItForgetsAndLearnsNothing) {
  OutlierTracker tracker({});
  ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, kNow));
  tracker.SetOptions({.ejection = seconds(90)});
  EXPECT_TRUE(tracker.Ejected(Address(0), kNow + seconds(29)));
  EXPECT_FALSE(tracker.Ejected(Address(0), kNow + seconds(30)));
  tracker.SetOptions({.enabled = false});
  EXPECT_FALSE(tracker.Ejected(Address(0), kNow));
  EXPECT_FALSE(FailBesides(tracker, 0, 1, 50, kNow));
}

TEST(Outlier, ForgetsOnceAllIsWellOrGone) {
  OutlierTracker tracker({});
  ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, kNow));
  // Address 0 left the DNS: after a while its past does not count, should it come back.
  Instant later = kNow + minutes(10) + kTick;
  tracker.OnResult(Address(1), true, later);
  ASSERT_TRUE(FailBesides(tracker, 0, 1, 5, later));
  EXPECT_FALSE(tracker.Ejected(Address(0), later + seconds(30)));
}

TEST(Outlier, IsSmall) { EXPECT_LE(sizeof(OutlierTracker), 72u); }

// Many addresses, some bad for a while: the filter keeps its promises at every step, and finds the bad ones.
TEST(Outlier, FilterKeepsItsPromisesAndTrafficFindsTheGoodOnes) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    int n = 2 + static_cast<int>(random() % 8);
    int bad = static_cast<int>(random() % static_cast<uint64_t>(n / 2 + 1));
    OutlierTracker tracker({.max_ejected = 0.5});
    Instant now = kNow;
    int failed = 0;
    constexpr int kSteps = 4000;
    for (int i = 0; i < kSteps; ++i) {
      now += milliseconds(random() % 20);
      std::vector<IpAddress> all = Addresses(n), left = all;
      tracker.Filter(left, now);
      ASSERT_GE(left.size(), all.size() - std::max<size_t>(all.size() / 2, 1));
      ASSERT_TRUE(std::includes(all.begin(), all.end(), left.begin(), left.end(),
                                [](const IpAddress& a, const IpAddress& b) { return a.bytes() < b.bytes(); }));
      const IpAddress& chosen = left[random() % left.size()];
      bool ok = chosen.bytes()[3] >= bad;
      failed += !ok;
      tracker.OnResult(chosen, ok, now);
    }
    // 40 s: each bad address fails five times, or a few more until enough is known of its siblings, before each of at
    // most two ejections.
    EXPECT_LE(failed, bad * 20) << "seed " << seed << ": " << bad << " bad of " << n;
  }
}

}  // namespace
}  // namespace fetchd::server
