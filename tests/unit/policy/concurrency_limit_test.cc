#include "policy/concurrency_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <tuple>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Result = ConcurrencyLimit::Result;

const Instant kStart = Instant(seconds(1000));

TEST(ConcurrencyLimit, AFixedLimitIsACounter) {
  ConcurrencyLimit limit({.max = 2}, 100);
  EXPECT_TRUE(limit.TryAcquire());
  EXPECT_TRUE(limit.HasRoom());
  EXPECT_TRUE(limit.TryAcquire());
  EXPECT_FALSE(limit.HasRoom());
  EXPECT_FALSE(limit.TryAcquire());
  EXPECT_EQ(limit.in_flight(), 2);
  limit.Release({}, kStart);
  EXPECT_TRUE(limit.TryAcquire());
  for (int i = 0; i < 1000; ++i) {
    limit.Release({Result::kDropped}, kStart + seconds(i));
    ASSERT_TRUE(limit.TryAcquire());
  }
  EXPECT_EQ(limit.limit(), 2);
}

TEST(ConcurrencyLimit, WithoutANumberThePoolsConnectionsAreTheMost) {
  EXPECT_EQ(ConcurrencyLimit({}, 100).limit(), 100);
  EXPECT_EQ(ConcurrencyLimit({.max = 101}, 100).limit(), 101);
  EXPECT_EQ(ConcurrencyLimit({.max = 3, .adaptive = true}, 100).limit(), 3);
  EXPECT_EQ(ConcurrencyLimit({.max = 50, .adaptive = true, .min = 30}, 100).limit(), 30);
  EXPECT_EQ(ConcurrencyLimit({.max = 5, .adaptive = true, .min = 30}, 100).limit(), 5);
}

TEST(ConcurrencyLimit, NewOptionsLetRunWhatRuns) {
  ConcurrencyLimit limit({.max = 4}, 100);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(limit.TryAcquire());
  limit.SetOptions({.max = 2}, 100);
  EXPECT_EQ(limit.in_flight(), 4);
  limit.Release({}, kStart);
  limit.Release({}, kStart);
  EXPECT_FALSE(limit.TryAcquire());
  limit.Release({}, kStart);
  EXPECT_TRUE(limit.TryAcquire());
}

// An origin with `knee` workers, each of which takes `service` (20 % more or less) for one attempt; what is more than
// that waits for a free one. Callers always want `demand` attempts at once.
class Origin {
 public:
  Origin(ConcurrencyOptions options, int knee, Duration service, uint64_t seed = 1, double noise = 0.2)
      : limit(options, 1000), knee_(knee), service_(service), noise_(noise), random_(seed) {}

  void Run(Duration time) {
    const Instant end = now + time;
    for (;;) {
      while (in_flight() < demand && limit.TryAcquire()) Begin();
      lowest = std::min(lowest, limit.limit());
      highest = std::max(highest, limit.limit());
      if (!limit.probing()) settled.push_back(limit.limit());
      if (running_.empty() || std::get<0>(running_.top()) > end) break;
      const auto [at, began] = running_.top();
      running_.pop();
      now = at;
      limit.Release({Result::kAnswered, now - began}, now);
      ++answered;
    }
    now = end;
  }
  void Observe() {
    lowest = highest = limit.limit();
    settled.clear();
    answered = 0;
  }
  // The limit in the middle of the run.
  double Usual() {
    std::nth_element(settled.begin(), settled.begin() + static_cast<std::ptrdiff_t>(settled.size() / 2), settled.end());
    return settled[settled.size() / 2];
  }
  void Move(int knee, Duration service) {
    knee_ = knee;
    service_ = service;
  }
  int in_flight() const { return limit.in_flight(); }

  ConcurrencyLimit limit;
  Instant now = kStart;
  int demand = 1000;
  int lowest = 1 << 30, highest = 0;
  std::vector<int> settled;
  int answered = 0;

 private:
  void Begin() {
    // Workers that became free long ago are as good as new ones; those over the knee retire.
    while (!free_at_.empty() && free_at_.top() <= now) free_at_.pop();
    Instant start = now;
    std::vector<Instant> busy;
    if (static_cast<int>(free_at_.size()) >= knee_) {
      while (static_cast<int>(free_at_.size()) >= knee_) {
        start = free_at_.top();
        free_at_.pop();
      }
    }
    const double factor = 1 + noise_ * (2 * random_.NextDouble() - 1);
    const Instant end = start + Duration(static_cast<Duration::rep>(static_cast<double>(service_.count()) * factor));
    free_at_.push(end);
    running_.emplace(end, now);
  }

  using Event = std::tuple<Instant, Instant>;
  int knee_;
  Duration service_;
  double noise_;
  Random random_;
  std::priority_queue<Instant, std::vector<Instant>, std::greater<>> free_at_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> running_;
};

TEST(ConcurrencyLimit, FindsTheKnee) {
  for (int knee : {5, 10, 20, 50, 200})
    for (Duration service : {milliseconds(knee > 10 ? 50 : 10), milliseconds(150)})
      for (uint64_t seed : {1, 2}) {
        SCOPED_TRACE(testing::Message() << "knee " << knee << ", " << ToSeconds(service) << " s, seed " << seed);
        Origin origin({.max = 1000, .adaptive = true}, knee, service, seed);
        origin.Run(seconds(20));
        origin.Observe();
        origin.Run(seconds(20));
        EXPECT_NEAR(origin.Usual(), knee, std::max(1.0, knee * 0.2));
        // At no time far from it, but for probes.
        EXPECT_LE(origin.highest, knee * 1.6 + 1);
        // The origin is kept busy.
        EXPECT_GT(origin.answered, 0.93 * knee * ToSeconds(seconds(20)) / ToSeconds(service));
      }
}

TEST(ConcurrencyLimit, FollowsAKneeThatMoves) {
  for (auto [from, to] : {std::pair(20, 100), {100, 20}, {40, 60}, {60, 40}, {10, 200}, {200, 10}})
    for (uint64_t seed : {1, 2}) {
      SCOPED_TRACE(testing::Message() << "from " << from << " to " << to << ", seed " << seed);
      Origin origin({.max = 1000, .adaptive = true}, from, milliseconds(40), seed);
      origin.Run(seconds(15));
      EXPECT_NEAR(origin.limit.limit(), from, from * 0.25 + 1);
      origin.Move(to, milliseconds(40));
      origin.Run(seconds(15));
      origin.Observe();
      origin.Run(seconds(10));
      EXPECT_NEAR(origin.Usual(), to, std::max(1.0, to * 0.2));
    }
}

// The origin itself becomes slower or faster; its knee stays.
TEST(ConcurrencyLimit, TellsASlowerOriginFromAFullOne) {
  for (auto [from, to] : {std::pair(20, 40), {20, 100}, {100, 20}})
    for (uint64_t seed : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << "from " << from << " to " << to << " ms, seed " << seed);
      Origin origin({.max = 1000, .adaptive = true}, 50, milliseconds(from), seed);
      origin.Run(seconds(10));
      origin.Move(50, milliseconds(to));
      origin.Run(seconds(20));
      origin.Observe();
      origin.Run(seconds(10));
      EXPECT_NEAR(origin.Usual(), 50, 10);
    }
}

TEST(ConcurrencyLimit, NeverSinksBelowTheFloorNorGrowsOverTheMost) {
  for (int floor : {1, 7, 30}) {
    SCOPED_TRACE(floor);
    Origin origin({.max = 60, .adaptive = true, .min = floor}, 3, milliseconds(10));
    origin.Run(seconds(40));
    EXPECT_GE(origin.lowest, floor);
    origin.Move(500, milliseconds(10));
    origin.Run(seconds(40));
    EXPECT_EQ(origin.highest, 60);
    EXPECT_GE(origin.lowest, floor);
  }
}

TEST(ConcurrencyLimit, DroppedAttemptsLowerItToTheFloorAndNoFurther) {
  ConcurrencyLimit limit({.max = 100, .adaptive = true, .min = 4}, 100);
  Instant now = kStart;
  int before = limit.limit();
  for (int i = 0; i < 1000; ++i) {
    now += milliseconds(5);
    ASSERT_TRUE(limit.TryAcquire());
    limit.Release({Result::kDropped}, now);
    EXPECT_LE(limit.limit(), before);
    before = limit.limit();
    ASSERT_GE(before, 4);
  }
  EXPECT_EQ(before, 4);
}

TEST(ConcurrencyLimit, LittleDemandMovesNothing) {
  Origin origin({.max = 1000, .adaptive = true}, 50, milliseconds(20), 1, 0.9);
  origin.Run(seconds(10));
  const int learnt = origin.limit.limit();
  EXPECT_NEAR(learnt, 50, 15);
  origin.demand = 3;
  origin.Run(milliseconds(200));
  const int after = origin.limit.limit();
  origin.Observe();
  origin.Run(seconds(100));
  EXPECT_EQ(origin.lowest, after);
  EXPECT_EQ(origin.highest, after);
}

TEST(ConcurrencyLimit, IgnoredAttemptsTeachNothing) {
  ConcurrencyLimit limit({.max = 100, .adaptive = true}, 100);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(limit.TryAcquire());
    limit.Release({Result::kIgnored, seconds(i)}, kStart + seconds(i));
  }
  EXPECT_EQ(limit.limit(), 16);
  EXPECT_EQ(limit.base(), Duration::zero());
}

TEST(ConcurrencyLimit, ResetForgets) {
  Origin origin({.max = 1000, .adaptive = true}, 100, milliseconds(20));
  origin.Run(seconds(10));
  EXPECT_GT(origin.limit.limit(), 80);
  const int in_flight = origin.in_flight();
  origin.limit.Reset();
  EXPECT_EQ(origin.limit.limit(), 16);
  EXPECT_EQ(origin.in_flight(), in_flight);
  origin.Run(seconds(10));
  EXPECT_NEAR(origin.limit.limit(), 100, 25);
}

}  // namespace
}  // namespace fetchd::server
