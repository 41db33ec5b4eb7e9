#include "policy/origin_hold.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));
constexpr Duration kTick = Duration(1);

// `rate` good answers per second for `time`, up to `now`.
void Answer(OriginHold& hold, int rate, Duration time, Instant now) {
  int64_t n = time / seconds(1) * rate;
  for (int64_t i = n; i > 0; --i) hold.OnSuccess(now - time / n * i);
}

// When `n` that wait since `now` go, each woken `late` too late.
std::vector<Instant> Release(OriginHold& hold, int n, Instant now, Duration late = Duration::zero()) {
  std::vector<Instant> went;
  for (int i = 0; i < n; ++i) {
    Instant next = hold.Next(now);
    if (next > now) now = next + late;
    hold.Take(now);
    went.push_back(now);
  }
  return went;
}

int64_t Within(const std::vector<Instant>& went, Instant from, Duration time) {
  return std::count_if(went.begin(), went.end(), [&](Instant at) { return at >= from && at < from + time; });
}

TEST(OriginHold, WithoutAWordFromTheOriginEverythingGoes) {
  OriginHold hold(1);
  EXPECT_FALSE(hold.active());
  EXPECT_EQ(hold.Next(kNow), kNow);
  hold.Take(kNow);
  EXPECT_EQ(hold.NextAfter(1000, kNow), kNow);
  hold.Learn(Duration::zero(), kNow);
  hold.Learn(-seconds(5), kNow);
  EXPECT_FALSE(hold.active());
}

TEST(OriginHold, NobodyGoesBeforeItEnds) {
  OriginHold hold(1);
  Answer(hold, 100, seconds(10), kNow);
  hold.Learn(seconds(10), kNow);
  EXPECT_TRUE(hold.active());
  EXPECT_EQ(hold.until(), kNow + seconds(10));
  for (Duration after : {Duration::zero(), Duration(seconds(5)), Duration(seconds(10)) - kTick}) {
    EXPECT_GE(hold.Next(kNow + after), kNow + seconds(10));
    EXPECT_LT(hold.Next(kNow + after), kNow + seconds(10) + milliseconds(11)) << "within the first interval";
    EXPECT_EQ(hold.Next(kNow + after), hold.Next(kNow)) << "asking changes nothing";
  }
  EXPECT_EQ(hold.Next(kNow + seconds(10) + milliseconds(11)), kNow + seconds(10) + milliseconds(11));
}

TEST(OriginHold, TheLaterEndCounts) {
  OriginHold hold(1);
  hold.Learn(seconds(10), kNow);
  hold.Learn(seconds(3), kNow + seconds(1));
  EXPECT_EQ(hold.until(), kNow + seconds(10));
  hold.Learn(seconds(10), kNow + seconds(1));
  EXPECT_EQ(hold.until(), kNow + seconds(11));
  EXPECT_GE(hold.Next(kNow + seconds(10)), kNow + seconds(11));
}

TEST(OriginHold, IsAMinuteAtMost) {
  for (Duration wait :
       {Duration(seconds(60)) - kTick, Duration(seconds(60)), Duration(seconds(60)) + kTick, Duration::max()}) {
    OriginHold hold(1);
    hold.Learn(wait, kNow);
    EXPECT_EQ(hold.until(), kNow + std::min(wait, Duration(seconds(60))));
  }
}

TEST(OriginHold, ThoseWhoWaitedGoAtTheRateFromBefore) {
  for (Duration late : {milliseconds(0), milliseconds(3)}) {
    for (int rate : {12, 20, 100, 1000}) {
      OriginHold hold(7);
      Answer(hold, rate, seconds(20), kNow);
      hold.Learn(seconds(10), kNow);
      EXPECT_NEAR(hold.pace(), rate, rate * 0.03);
      std::vector<Instant> went = Release(hold, rate * 5, kNow, late);
      Instant end = hold.until();
      EXPECT_EQ(Within(went, kNow, seconds(10)), 0);
      EXPECT_LE(Within(went, end, seconds(1)), rate * 1.2) << rate;
      EXPECT_GE(Within(went, end, seconds(1)), rate * 0.8) << rate;
      // Nor does any later second have more.
      for (Instant at : went) EXPECT_LE(Within(went, at, seconds(1)), rate * 1.2) << rate;
    }
  }
}

TEST(OriginHold, TheRateIsThatOfTheTimeSeenIfShorterThanTheWindow) {
  OriginHold hold(1);
  Answer(hold, 50, seconds(2), kNow);
  hold.Learn(seconds(1), kNow);
  EXPECT_NEAR(hold.pace(), 50, 1);

  OriginHold sudden(1);
  for (int i = 0; i < 30; ++i) sudden.OnSuccess(kNow);
  sudden.Learn(seconds(1), kNow);
  EXPECT_DOUBLE_EQ(sudden.pace(), 30) << "less than a second counts as one";

  OriginHold unknown(1);
  unknown.Learn(seconds(1), kNow);
  EXPECT_DOUBLE_EQ(unknown.pace(), 1);
}

TEST(OriginHold, JitterSpreadsAndDependsOnTheSeed) {
  OriginHold a(1), b(2), c(1);
  for (OriginHold* hold : {&a, &b, &c}) {
    Answer(*hold, 10, seconds(10), kNow);
    hold->Learn(seconds(1), kNow);
  }
  std::vector<Instant> from_a = Release(a, 10, kNow), from_b = Release(b, 10, kNow);
  EXPECT_NE(from_a, from_b);
  EXPECT_EQ(from_a, Release(c, 10, kNow));
  EXPECT_TRUE(std::is_sorted(from_a.begin(), from_a.end()));
}

TEST(OriginHold, ALongBacklogGoesFasterAfterTenSecondsAndNeverAllAtOnce) {
  OriginHold hold(1);
  Answer(hold, 100, seconds(10), kNow);
  hold.Learn(seconds(1), kNow);
  const Instant end = hold.until();
  const double before = hold.pace();
  std::vector<Instant> went;
  Instant now = kNow;
  while (hold.active()) {
    now = hold.Next(now);
    went.push_back(now);
    hold.Take(now);
    ASSERT_LT(now, end + seconds(40));
  }
  EXPECT_NEAR(Within(went, end + seconds(9), seconds(1)), before, 5);
  double pace = before;
  for (int second = 10; second < 30; ++second) {
    pace *= 1.25;
    EXPECT_NEAR(Within(went, end + seconds(second), seconds(1)), pace, pace * 0.15 + 5) << second;
  }
  EXPECT_NEAR(ToSeconds(now - end), 30, 1);
}

TEST(OriginHold, ALowRateIsDoubledUntilTheOriginAsksAgain) {
  OriginHold hold(1);
  hold.Learn(seconds(1), kNow);
  const Instant end = hold.until();
  const std::vector<Instant> went = Release(hold, 60, kNow);
  EXPECT_LE(Within(went, end, seconds(1)), 1);
  EXPECT_GE(Within(went, end, seconds(5)), 12) << "1 a second, then 2, 4 and 8";
  EXPECT_LE(Within(went, end, seconds(5)), 1 + 2 + 4 + 8 + 10 + 3);
  for (Instant at = end + seconds(5); at < went.back(); at += seconds(1)) EXPECT_LE(Within(went, at, seconds(1)), 12);

  OriginHold again(1);
  again.Learn(seconds(1), kNow);
  again.Learn(seconds(1), again.until() + milliseconds(100));
  const std::vector<Instant> slow = Release(again, 8, kNow);
  EXPECT_LE(Within(slow, again.until(), seconds(5)), 6);
}

TEST(OriginHold, PacingEndsWhenNobodyWaits) {
  OriginHold hold(1);
  Answer(hold, 10, seconds(10), kNow);
  hold.Learn(seconds(1), kNow);
  Instant slot = hold.Next(kNow);
  // An interval of 100 ms and some, and 100 ms more.
  hold.Take(slot + milliseconds(190));
  EXPECT_TRUE(hold.active());
  hold.Take(hold.Next(kNow) + milliseconds(210));
  EXPECT_FALSE(hold.active());
  EXPECT_EQ(hold.Next(kNow + seconds(3)), kNow + seconds(3));
}

TEST(OriginHold, AskedAgainWhilePacedItGoesHalfAsFast) {
  OriginHold hold(1);
  Answer(hold, 40, seconds(10), kNow);
  hold.Learn(seconds(1), kNow);
  double pace = hold.pace();
  hold.Learn(seconds(2), kNow + milliseconds(500));
  EXPECT_DOUBLE_EQ(hold.pace(), pace) << "still the same hold";
  for (int i = 0; i < 10; ++i) {
    Instant again = hold.until() + milliseconds(200);
    hold.Learn(seconds(1), again);
    pace = std::max(pace / 2, 1.0);
    EXPECT_DOUBLE_EQ(hold.pace(), pace);
    EXPECT_GE(hold.Next(again), again + seconds(1));
  }
  // When pacing is over the rate is measured again.
  Instant later = hold.until() + seconds(10);
  Answer(hold, 30, seconds(9), later);
  hold.Learn(seconds(1), later);
  EXPECT_NEAR(hold.pace(), 30, 4);
}

TEST(OriginHold, AStalledThreadDoesNotReleaseAllAtOnce) {
  OriginHold hold(1);
  Answer(hold, 1000, seconds(10), kNow);
  hold.Learn(seconds(1), kNow);
  Instant now = hold.until() + milliseconds(90);
  int at_once = 0;
  while (hold.Next(now) <= now && at_once < 1000) {
    hold.Take(now);
    ++at_once;
  }
  EXPECT_LE(at_once, 55);
}

TEST(OriginHold, NextAfterIsWhereTheQueueEnds) {
  OriginHold hold(1);
  Answer(hold, 100, seconds(10), kNow);
  hold.Learn(seconds(1), kNow);
  EXPECT_EQ(hold.NextAfter(0, kNow), hold.Next(kNow));
  EXPECT_NEAR(ToSeconds(hold.NextAfter(100, kNow) - hold.Next(kNow)), 1.0, 0.03);
  for (uint64_t queued : {uint64_t{5000}, UINT64_MAX})
    EXPECT_EQ(hold.NextAfter(queued, kNow), hold.until() + seconds(10));
  EXPECT_EQ(hold.NextAfter(5, hold.until() + seconds(10)), hold.until() + seconds(10));
}

TEST(OriginHold, ResetForgets) {
  OriginHold hold(1);
  Answer(hold, 100, seconds(10), kNow);
  hold.Learn(seconds(30), kNow);
  hold.Reset();
  EXPECT_FALSE(hold.active());
  EXPECT_LE(hold.until(), kNow);
  EXPECT_EQ(hold.Next(kNow), kNow);
  hold.Learn(seconds(1), kNow);
  EXPECT_EQ(hold.until(), kNow + seconds(1));
  EXPECT_DOUBLE_EQ(hold.pace(), 1);
}

TEST(OriginHold, IsSmall) { EXPECT_LE(sizeof(OriginHold), 160u); }

}  // namespace
}  // namespace fetchd::server
