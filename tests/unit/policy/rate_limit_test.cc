#include "policy/rate_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));
constexpr Duration kTick = Duration(1);

TEST(RateLimit, NoLimitAlwaysSaysNow) {
  RateLimit limit(RateLimitOptions{});
  EXPECT_FALSE(limit.limited());
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(limit.Next(kNow), kNow);
    limit.Take(kNow);
  }
  EXPECT_EQ(limit.NextAfter(100000, kNow), kNow);
  EXPECT_TRUE(limit.idle(kNow));
}

TEST(RateLimit, OnePerInterval) {
  RateLimit limit({.per_second = 50});
  EXPECT_EQ(limit.Next(kNow), kNow);
  limit.Take(kNow);
  EXPECT_EQ(limit.Next(kNow), kNow + milliseconds(20));
  EXPECT_EQ(limit.Next(kNow + milliseconds(20) - kTick), kNow + milliseconds(20));
  EXPECT_EQ(limit.Next(kNow + milliseconds(20)), kNow + milliseconds(20));
  EXPECT_EQ(limit.Next(kNow + milliseconds(20) + kTick), kNow + milliseconds(20) + kTick);
}

TEST(RateLimit, BurstGoesAtOnceAndOneMoreWaits) {
  for (int burst : {1, 2, 10}) {
    RateLimit limit({.per_second = 10, .burst = burst});
    for (int i = 0; i < burst; ++i) {
      EXPECT_EQ(limit.available(kNow), burst - i);
      EXPECT_EQ(limit.Next(kNow), kNow) << i << " of " << burst;
      limit.Take(kNow);
    }
    EXPECT_EQ(limit.available(kNow), 0);
    EXPECT_EQ(limit.Next(kNow), kNow + milliseconds(100));
    // Full again after burst intervals, and never more than full.
    EXPECT_EQ(limit.available(kNow + milliseconds(100) - kTick), 0);
    EXPECT_EQ(limit.available(kNow + milliseconds(100)), 1);
    EXPECT_FALSE(limit.idle(kNow + burst * milliseconds(100) - kTick));
    EXPECT_TRUE(limit.idle(kNow + burst * milliseconds(100)));
    EXPECT_EQ(limit.available(kNow + seconds(100)), burst);
  }
}

TEST(RateLimit, NextAfterIsWhenTheQueuedOnesHaveGone) {
  for (int burst : {1, 4}) {
    for (double rate : {3.0, 50.0, 999.0}) {
      for (int taken : {0, 1, 7}) {
        RateLimit limit({.per_second = rate, .burst = burst});
        for (int i = 0; i < taken; ++i) limit.Take(kNow);
        for (uint64_t queued : {0u, 1u, 2u, 3u, 4u, 5u, 100u}) {
          RateLimit copy = limit;
          Instant at = kNow;
          for (uint64_t i = 0; i < queued; ++i) {
            at = copy.Next(at);
            copy.Take(at);
          }
          Duration off = limit.NextAfter(queued, kNow) - copy.Next(at);
          // Each of the queued ones goes in a whole nanosecond.
          EXPECT_LE(std::chrono::abs(off), Duration(1 + static_cast<int64_t>(queued))) << rate << " " << queued;
        }
      }
    }
  }
}

TEST(RateLimit, NextAfterFarAwayNeverOverflows) {
  RateLimit limit({.per_second = 0.001, .burst = 1'000'000});
  EXPECT_GT(limit.NextAfter(UINT64_MAX, kNow), kNow + std::chrono::hours(100000));
  EXPECT_GT(limit.NextAfter(UINT32_MAX, kNow), kNow + std::chrono::hours(100000));
  EXPECT_EQ(limit.NextAfter(1'000'000 - 1, kNow), kNow);
  EXPECT_EQ(limit.NextAfter(1'000'000, kNow), kNow + seconds(1000));
}

TEST(RateLimit, LosesNothingIn20SecondsAtAnyRate) {
  for (double rate : {0.5, 1.0, 3.0, 7.0, 50.0, 99.9, 1000.0, 30000.0}) {
    RateLimit limit({.per_second = rate});
    Instant now = kNow;
    int64_t taken = 0;
    while (now < kNow + seconds(20)) {
      limit.Take(now);
      ++taken;
      now = limit.Next(now);
    }
    EXPECT_NEAR(static_cast<double>(taken), rate * 20, 1.0) << rate;
    EXPECT_LE(static_cast<double>(taken), rate * 20 + 1) << rate;
  }
}

TEST(RateLimit, LateTimersLoseNothing) {
  // Woken up to 8 ms late, as on a busy machine: 50 per second stay 50 per second, and no second has more than 51.
  Random random(5);
  RateLimit limit({.per_second = 50});
  std::vector<Instant> went;
  Instant now = kNow;
  while (now < kNow + seconds(20)) {
    limit.Take(went.empty() ? now : limit.Next(now - milliseconds(10)));
    went.push_back(now);
    now = limit.Next(now) + Duration(static_cast<int64_t>(random.NextDouble() * 8e6));
  }
  EXPECT_GE(went.size(), 999u);
  EXPECT_LE(went.size(), 1001u);
  for (size_t i = 0; i + 51 < went.size(); ++i) EXPECT_GE(went[i + 51] - went[i], seconds(1)) << i;
}

TEST(RateLimit, LatenessMadeGoodIsBounded) {
  constexpr Duration kSlack = milliseconds(10);
  for (double rate : {1.0, 50.0, 100.0, 1000.0}) {
    RateLimit limit({.per_second = rate});
    Duration interval = Duration(static_cast<int64_t>(1e9 / rate));
    limit.Take(kNow);
    // Slept for a minute.
    Instant late = kNow + seconds(60);
    int at_once = 0;
    while (limit.Next(late) <= late) {
      limit.Take(limit.Next(late - kSlack));
      ++at_once;
    }
    EXPECT_EQ(at_once, 1 + kSlack / interval) << rate;
    EXPECT_EQ(limit.Next(late), late - kSlack + at_once * interval);
  }
}

TEST(RateLimit, WhoDidNotWaitStartsFromNow) {
  RateLimit limit({.per_second = 50});
  limit.Take(kNow);
  limit.Take(kNow + milliseconds(25));
  EXPECT_EQ(limit.Next(kNow + milliseconds(26)), kNow + milliseconds(45));
}

TEST(RateLimit, NewOptionsKeepWhatWasTaken) {
  RateLimit limit({.per_second = 10, .burst = 1});
  for (int i = 0; i < 3; ++i) limit.Take(kNow);
  EXPECT_EQ(limit.Next(kNow), kNow + milliseconds(300));
  limit.SetOptions({.per_second = 100, .burst = 1}, kNow);
  EXPECT_EQ(limit.Next(kNow), kNow + milliseconds(30));
  limit.SetOptions({.per_second = 100, .burst = 2}, kNow);
  EXPECT_EQ(limit.Next(kNow), kNow + milliseconds(20));
  limit.SetOptions({}, kNow);
  EXPECT_EQ(limit.Next(kNow), kNow);
  limit.SetOptions({.per_second = 1}, kNow + seconds(1));
  EXPECT_EQ(limit.Next(kNow + seconds(1)), kNow + seconds(1));
}

TEST(RateLimit, IsSmall) { EXPECT_LE(sizeof(RateLimit), 56u); }

// In every span between two attempts, whatever the rate, the burst and the pattern of arrivals.
TEST(RateLimit, NeverMoreThanBurstPlusRateInAnyWindow) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    double rate = 0.5 + random.NextDouble() * (seed % 2 == 0 ? 20 : 5000);
    int burst = 1 + static_cast<int>(random() % 20);
    RateLimit limit({.per_second = rate, .burst = burst});
    std::vector<Instant> went;
    Instant now = kNow;
    int64_t refused = 0;
    for (int i = 0; i < 400; ++i) {
      // Dense, sparse, or exactly when told.
      uint64_t dice = random() % 8;
      if (dice < 5) {
        now += Duration(static_cast<int64_t>(random.NextDouble() * 1e9 / rate));
      } else if (dice == 5) {
        now += Duration(static_cast<int64_t>(random.NextDouble() * 1e10 / rate));
      } else {
        now = limit.Next(now);
      }
      Instant next = limit.Next(now);
      if (next > now) {
        ++refused;
        continue;
      }
      limit.Take(now);
      went.push_back(now);
    }
    EXPECT_GT(refused + burst, 0);
    for (size_t from = 0; from < went.size(); ++from) {
      for (size_t to = from; to < went.size(); ++to) {
        // Instants are whole nanoseconds.
        double most = burst + rate * ToSeconds(went[to] - went[from] + kTick);
        ASSERT_LE(static_cast<double>(to - from + 1), most + 1e-6) << "seed " << seed << " rate " << rate;
      }
    }
  }
}

}  // namespace
}  // namespace fetchd::server
