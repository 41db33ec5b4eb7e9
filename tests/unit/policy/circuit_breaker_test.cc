#include "policy/circuit_breaker.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using enum AttemptVerdict;
using enum BreakerState;

const Instant kNow = Instant(seconds(1000));
constexpr Duration kFast = milliseconds(5);
constexpr Duration kTick = Duration(1);

// One attempt, from permit to result.
bool Attempt(CircuitBreaker& breaker, AttemptVerdict verdict, Instant now, Duration latency = kFast) {
  CircuitBreaker::Decision decision = breaker.Acquire(now);
  EXPECT_TRUE(decision.allowed);
  return breaker.Record(decision.permit, verdict, latency, now);
}

// Opens at `now`.
CircuitBreaker OpenBreaker(BreakerOptions options = {}, Instant now = kNow) {
  CircuitBreaker breaker(options);
  for (int i = 1; i < options.consecutive_failures; ++i) EXPECT_FALSE(Attempt(breaker, kFailure, now)) << i;
  EXPECT_TRUE(Attempt(breaker, kFailure, now));
  return breaker;
}

TEST(CircuitBreaker, OpensAtTheNthConsecutiveFailure) {
  for (int n : {1, 2, 10}) {
    CircuitBreaker breaker({.consecutive_failures = n, .failure_rate = 0});
    for (int i = 1; i < n; ++i) {
      EXPECT_FALSE(Attempt(breaker, kFailure, kNow));
      EXPECT_EQ(breaker.state(kNow), kClosed) << i << " of " << n;
    }
    EXPECT_TRUE(Attempt(breaker, kFailure, kNow)) << n;
    EXPECT_EQ(breaker.state(kNow), kOpen);
    EXPECT_EQ(breaker.retry_at(), kNow + seconds(1));
  }
}

TEST(CircuitBreaker, ASuccessEndsTheRunOfFailures) {
  CircuitBreaker breaker({.consecutive_failures = 3, .failure_rate = 0});
  for (int round = 0; round < 50; ++round) {
    Attempt(breaker, kFailure, kNow);
    Attempt(breaker, kFailure, kNow);
    EXPECT_EQ(breaker.consecutive_failures(), 2);
    Attempt(breaker, kSuccess, kNow);
    EXPECT_EQ(breaker.consecutive_failures(), 0);
  }
  EXPECT_EQ(breaker.state(kNow), kClosed);
}

TEST(CircuitBreaker, IgnoredResultsNeitherCountNorEndARun) {
  CircuitBreaker breaker({.consecutive_failures = 2, .failure_rate = 0.5, .min_volume = 20});
  Attempt(breaker, kFailure, kNow);
  for (int i = 0; i < 100; ++i) Attempt(breaker, kIgnored, kNow);
  EXPECT_EQ(breaker.counts(kNow).results, 1u);
  EXPECT_EQ(breaker.consecutive_failures(), 1);
  EXPECT_TRUE(Attempt(breaker, kFailure, kNow));
}

TEST(CircuitBreaker, FailureRateNeedsTheVolumeAndTheShare) {
  struct Row {
    int successes, failures;
    bool opens;
  };
  // Half of at least 20 results; the failures come last.
  for (Row row : {Row{9, 10, false}, Row{10, 10, true}, Row{10, 9, false}, Row{11, 10, false}, Row{11, 11, true},
                  Row{0, 19, false}, Row{0, 20, true}, Row{100, 99, false}, Row{100, 100, true}}) {
    CircuitBreaker breaker({.consecutive_failures = 0, .failure_rate = 0.5, .min_volume = 20});
    for (int i = 0; i < row.successes; ++i) Attempt(breaker, kSuccess, kNow);
    bool opened = false;
    for (int i = 0; i < row.failures; ++i) {
      EXPECT_FALSE(opened);
      opened = Attempt(breaker, kFailure, kNow);
    }
    EXPECT_EQ(opened, row.opens) << row.successes << " + " << row.failures;
  }
}

TEST(CircuitBreaker, FailuresOlderThanTheWindowDoNotCount) {
  for (Duration age : {milliseconds(9999), milliseconds(10000)}) {
    CircuitBreaker breaker({.consecutive_failures = 0, .failure_rate = 0.5, .min_volume = 20});
    for (int i = 0; i < 19; ++i) Attempt(breaker, kFailure, kNow);
    EXPECT_EQ(Attempt(breaker, kFailure, kNow + age), age < seconds(10));
  }
}

TEST(CircuitBreaker, RulesSetToZeroAreOff) {
  CircuitBreaker breaker({.consecutive_failures = 0, .failure_rate = 0, .slow_call = Duration::zero()});
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Attempt(breaker, kFailure, kNow, seconds(100)));
  EXPECT_EQ(breaker.state(kNow), kClosed);
}

TEST(CircuitBreaker, NotEnabledItNeverOpens) {
  CircuitBreaker breaker({.enabled = false});
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Attempt(breaker, kFailure, kNow));
  EXPECT_EQ(breaker.state(kNow), kClosed);
}

TEST(CircuitBreaker, SlowCallsOpenByTheirOwnRate) {
  BreakerOptions options{.min_volume = 20, .slow_call = milliseconds(100), .slow_rate = 0.5};
  for (Duration latency : {Duration(milliseconds(100)) - kTick, Duration(milliseconds(100)), seconds(1) + kTick}) {
    CircuitBreaker breaker(options);
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(Attempt(breaker, kSuccess, kNow));
    bool opened = false;
    for (int i = 0; i < 10; ++i) opened = Attempt(breaker, kSuccess, kNow, latency);
    EXPECT_EQ(opened, latency >= milliseconds(100)) << latency.count();
  }
  CircuitBreaker below(options);
  for (int i = 0; i < 11; ++i) EXPECT_FALSE(Attempt(below, kSuccess, kNow));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(Attempt(below, kSuccess, kNow, seconds(1)));
  EXPECT_EQ(below.counts(kNow).slow, 10u);
}

TEST(CircuitBreaker, OpenRefusesUntilItsTimeIsOver) {
  CircuitBreaker breaker = OpenBreaker();
  for (Duration after : {Duration::zero(), kTick, Duration(seconds(1)) - kTick}) {
    CircuitBreaker::Decision decision = breaker.Acquire(kNow + after);
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.retry_at, kNow + seconds(1));
    EXPECT_EQ(breaker.state(kNow + after), kOpen);
  }
  EXPECT_EQ(breaker.state(kNow + seconds(1)), kHalfOpen);
  CircuitBreaker::Decision decision = breaker.Acquire(kNow + seconds(1));
  EXPECT_TRUE(decision.allowed);
  EXPECT_TRUE(decision.permit.trial);
}

TEST(CircuitBreaker, HalfOpenLetsExactlyNTrialsGoAndClosesWhenAllSucceed) {
  for (int n : {1, 2, 3, 7}) {
    CircuitBreaker breaker = OpenBreaker({.trials = n});
    Instant now = kNow + seconds(2);
    std::vector<CircuitBreaker::Permit> permits;
    for (int i = 0; i < n; ++i) {
      CircuitBreaker::Decision decision = breaker.Acquire(now);
      ASSERT_TRUE(decision.allowed) << i;
      permits.push_back(decision.permit);
    }
    CircuitBreaker::Decision refused = breaker.Acquire(now);
    EXPECT_FALSE(refused.allowed);
    EXPECT_EQ(refused.retry_at, now + seconds(2)) << "when they would be given up";
    for (int i = 0; i < n; ++i) {
      EXPECT_EQ(breaker.state(now), kHalfOpen);
      EXPECT_FALSE(breaker.Acquire(now).allowed) << "a trial that succeeded makes no room for another";
      EXPECT_FALSE(breaker.Record(permits[static_cast<size_t>(i)], kSuccess, kFast, now));
    }
    EXPECT_EQ(breaker.state(now), kClosed);
    EXPECT_EQ(breaker.counts(now).results, 0u) << "the past is over";
  }
}

TEST(CircuitBreaker, OneFailedTrialOpensAgainAndTheOthersAreIgnored) {
  CircuitBreaker breaker = OpenBreaker();
  Instant now = kNow + seconds(1);
  auto first = breaker.Acquire(now).permit, second = breaker.Acquire(now).permit, third = breaker.Acquire(now).permit;
  EXPECT_FALSE(breaker.Record(first, kSuccess, kFast, now));
  EXPECT_TRUE(breaker.Record(second, kFailure, kFast, now));
  EXPECT_EQ(breaker.state(now), kOpen);
  EXPECT_FALSE(breaker.Stands(third));
  EXPECT_FALSE(breaker.Record(third, kFailure, kFast, now + milliseconds(500)));
  EXPECT_EQ(breaker.retry_at(), now + seconds(2)) << "the late failure did not extend it";
}

TEST(CircuitBreaker, ASlowTrialIsAFailedTrial) {
  for (Duration latency : {milliseconds(99), milliseconds(100)}) {
    CircuitBreaker breaker = OpenBreaker({.slow_call = milliseconds(100), .trials = 1});
    Attempt(breaker, kSuccess, kNow + seconds(1), latency);
    EXPECT_EQ(breaker.state(kNow + seconds(1)), latency < milliseconds(100) ? kClosed : kOpen);
  }
}

TEST(CircuitBreaker, OpenTimeDoublesToItsMaximumAndStartsAnewOnceClosed) {
  CircuitBreaker breaker = OpenBreaker({.max_open_time = milliseconds(3500)});
  for (Duration open : {milliseconds(1000), milliseconds(2000), milliseconds(3500), milliseconds(3500)}) {
    Instant now = breaker.retry_at();
    EXPECT_FALSE(breaker.Acquire(now - kTick).allowed);
    EXPECT_TRUE(Attempt(breaker, kFailure, now)) << open.count();
  }
  Instant now = breaker.retry_at();
  for (int i = 0; i < 3; ++i) Attempt(breaker, kSuccess, now);
  ASSERT_EQ(breaker.state(now), kClosed);
  for (int i = 0; i < 20; ++i) Attempt(breaker, kFailure, now);
  EXPECT_EQ(breaker.retry_at(), now + seconds(1));
}

TEST(CircuitBreaker, OpenTimeIsNeverAboveItsMaximum) {
  CircuitBreaker breaker = OpenBreaker({.open_time = seconds(9), .max_open_time = seconds(4)});
  EXPECT_EQ(breaker.retry_at(), kNow + seconds(4));
}

TEST(CircuitBreaker, SilentTrialsAreGivenUpWhenAFailureWouldHaveBeenOver) {
  CircuitBreaker breaker = OpenBreaker({.trials = 2});
  // The open times of an origin that fails its trials at once: 1 s is over, then 2 s, then 4 s each.
  Instant now = kNow + seconds(1);
  std::vector<CircuitBreaker::Permit> swallowed;
  for (Duration silence : {seconds(2), seconds(4), seconds(4)}) {
    for (int i = 0; i < 2; ++i) {
      CircuitBreaker::Decision decision = breaker.Acquire(now);
      ASSERT_TRUE(decision.allowed);
      swallowed.push_back(decision.permit);
    }
    EXPECT_EQ(breaker.Acquire(now).retry_at, now + silence);
    EXPECT_FALSE(breaker.Acquire(now + silence - kTick).allowed);
    now += silence;
  }
  CircuitBreaker::Decision first = breaker.Acquire(now);
  ASSERT_TRUE(first.allowed);
  EXPECT_FALSE(breaker.Stands(swallowed.back()));
  for (const CircuitBreaker::Permit& permit : swallowed)
    EXPECT_FALSE(breaker.Record(permit, kFailure, seconds(10), now)) << "its silence was judged already";
  EXPECT_EQ(breaker.state(now), kHalfOpen);
  breaker.Record(first.permit, kSuccess, kFast, now);
  Attempt(breaker, kSuccess, now);
  EXPECT_EQ(breaker.state(now), kClosed);
}

TEST(CircuitBreaker, ATrialThatWasGivenUpAndSucceedsLateCounts) {
  CircuitBreaker breaker = OpenBreaker({.trials = 2});
  Instant now = kNow + seconds(1);
  auto a = breaker.Acquire(now).permit, b = breaker.Acquire(now).permit;
  auto c = breaker.Acquire(now + seconds(2)).permit;
  breaker.Record(a, kSuccess, seconds(3), now + seconds(3));
  EXPECT_EQ(breaker.state(now + seconds(3)), kHalfOpen);
  EXPECT_FALSE(breaker.Acquire(now + seconds(3)).allowed) << "one under way, one succeeded";
  breaker.Record(b, kSuccess, seconds(3), now + seconds(3));
  EXPECT_EQ(breaker.state(now + seconds(3)), kClosed);
  breaker.Record(c, kFailure, seconds(3), now + seconds(5));
  EXPECT_EQ(breaker.consecutive_failures(), 0);
}

TEST(CircuitBreaker, TrialsThatCameBackAreNotGivenUp) {
  CircuitBreaker breaker = OpenBreaker({.trials = 2});
  Instant now = kNow + seconds(1);
  Attempt(breaker, kSuccess, now);
  Attempt(breaker, kSuccess, now + seconds(100));
  EXPECT_EQ(breaker.state(now + seconds(100)), kClosed);
}

TEST(CircuitBreaker, ATrialGivenBackIsMadeByAnother) {
  CircuitBreaker breaker = OpenBreaker({.trials = 1});
  Instant now = kNow + seconds(1);
  for (int i = 0; i < 20; ++i) {
    CircuitBreaker::Decision decision = breaker.Acquire(now);
    ASSERT_TRUE(decision.allowed) << i;
    EXPECT_FALSE(breaker.Acquire(now).allowed);
    if (i % 2 == 0) {
      breaker.Release(decision.permit);
    } else {
      EXPECT_FALSE(breaker.Record(decision.permit, kIgnored, kFast, now));
    }
  }
  EXPECT_EQ(breaker.state(now), kHalfOpen);
  Attempt(breaker, kSuccess, now);
  EXPECT_EQ(breaker.state(now), kClosed);
}

TEST(CircuitBreaker, ATrialOfAnOlderHalfOpenGivesNothingBack) {
  CircuitBreaker breaker = OpenBreaker({.trials = 2});
  Instant now = kNow + seconds(1);
  auto old = breaker.Acquire(now).permit;
  Attempt(breaker, kFailure, now);
  now = breaker.retry_at();
  EXPECT_TRUE(breaker.Acquire(now).allowed);
  EXPECT_TRUE(breaker.Acquire(now).allowed);
  breaker.Release(old);
  EXPECT_FALSE(breaker.Acquire(now).allowed);
  breaker.Record(old, kSuccess, kFast, now);
  EXPECT_EQ(breaker.state(now), kHalfOpen);
}

TEST(CircuitBreaker, LateResultsFromBeforeItOpenedAreIgnored) {
  CircuitBreaker breaker({});
  std::vector<CircuitBreaker::Permit> late;
  for (int i = 0; i < 100; ++i) late.push_back(breaker.Acquire(kNow).permit);
  for (int i = 0; i < 20; ++i) Attempt(breaker, kFailure, kNow);
  ASSERT_EQ(breaker.state(kNow), kOpen);
  for (int i = 0; i < 50; ++i) EXPECT_FALSE(breaker.Record(late[static_cast<size_t>(i)], kFailure, kFast, kNow));
  for (int i = 0; i < 3; ++i) Attempt(breaker, kSuccess, kNow + seconds(1));
  ASSERT_EQ(breaker.state(kNow + seconds(1)), kClosed);
  for (int i = 50; i < 100; ++i)
    EXPECT_FALSE(breaker.Record(late[static_cast<size_t>(i)], kFailure, kFast, kNow + seconds(1)));
  EXPECT_EQ(breaker.state(kNow + seconds(1)), kClosed);
  EXPECT_EQ(breaker.consecutive_failures(), 0);
}

TEST(CircuitBreaker, OpenedByHandItStaysOpen) {
  for (bool enabled : {true, false}) {
    CircuitBreaker breaker({.enabled = enabled});
    auto before = breaker.Acquire(kNow).permit;
    breaker.ForceOpen(kNow);
    EXPECT_EQ(breaker.manual(), CircuitBreaker::Manual::kOpen);
    CircuitBreaker::Decision decision = breaker.Acquire(kNow + std::chrono::hours(1000));
    EXPECT_FALSE(decision.allowed);
    EXPECT_EQ(decision.retry_at, kNever);
    EXPECT_FALSE(breaker.Record(before, kSuccess, kFast, kNow));
    breaker.SetOptions({.enabled = enabled, .trials = 5});
    EXPECT_EQ(breaker.state(kNow + std::chrono::hours(1000)), kOpen);
    breaker.Reset();
    EXPECT_EQ(breaker.state(kNow), kClosed);
    EXPECT_TRUE(breaker.Acquire(kNow).allowed);
  }
}

TEST(CircuitBreaker, OpenedByHandForAWhileItIsHalfOpenAfterwards) {
  CircuitBreaker breaker({.trials = 2});
  const Instant until = kNow + std::chrono::hours(1);
  breaker.ForceOpen(kNow, until);
  EXPECT_EQ(breaker.Acquire(until - kTick).retry_at, until);
  EXPECT_EQ(breaker.state(until - kTick), kOpen);
  EXPECT_EQ(breaker.manual(), CircuitBreaker::Manual::kOpen);
  EXPECT_EQ(breaker.trials_in_flight(), 0);
  EXPECT_EQ(breaker.state(until), kHalfOpen);
  const CircuitBreaker::Decision first = breaker.Acquire(until);
  EXPECT_TRUE(first.allowed);
  EXPECT_TRUE(first.permit.trial);
  EXPECT_EQ(breaker.manual(), CircuitBreaker::Manual::kNone);
  EXPECT_EQ(breaker.trials_in_flight(), 1);
  const CircuitBreaker::Decision second = breaker.Acquire(until);
  EXPECT_EQ(breaker.trials_in_flight(), 2);
  breaker.Record(first.permit, kSuccess, kFast, until);
  breaker.Record(second.permit, kSuccess, kFast, until);
  EXPECT_EQ(breaker.state(until), kClosed);
  EXPECT_EQ(breaker.trials_in_flight(), 0);
}

TEST(CircuitBreaker, ClosedByHandItStaysClosedUntilReset) {
  CircuitBreaker breaker = OpenBreaker();
  breaker.ForceClose();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(Attempt(breaker, kFailure, kNow));
  EXPECT_EQ(breaker.state(kNow), kClosed);
  breaker.Reset();
  EXPECT_EQ(breaker.counts(kNow).failures, 0u);
  for (int i = 0; i < 19; ++i) EXPECT_FALSE(Attempt(breaker, kFailure, kNow));
  EXPECT_TRUE(Attempt(breaker, kFailure, kNow));
}

TEST(CircuitBreaker, NewOptionsKeepTheState) {
  CircuitBreaker open = OpenBreaker();
  open.SetOptions({.open_time = seconds(7), .trials = 1});
  EXPECT_FALSE(open.Acquire(kNow + seconds(1) - kTick).allowed);
  EXPECT_TRUE(open.Acquire(kNow + seconds(1)).allowed);
  EXPECT_FALSE(open.Acquire(kNow + seconds(1)).allowed) << "one trial by the new options";
  open.SetOptions({.trials = 5});
  EXPECT_FALSE(open.Acquire(kNow + seconds(1)).allowed) << "this half-open goes on with what it began with";

  CircuitBreaker closed({});
  for (int i = 0; i < 19; ++i) Attempt(closed, kFailure, kNow);
  closed.SetOptions({.min_volume = 30});
  EXPECT_EQ(closed.counts(kNow).failures, 19u);
  EXPECT_TRUE(Attempt(closed, kFailure, kNow));
  closed.SetOptions({.enabled = false});
  EXPECT_EQ(closed.state(kNow), kClosed);

  CircuitBreaker window({});
  Attempt(window, kSuccess, kNow);
  window.SetOptions({.window = seconds(20)});
  EXPECT_EQ(window.counts(kNow).results, 0u);
}

TEST(CircuitBreaker, IsSmall) { EXPECT_LE(sizeof(CircuitBreaker), 384u); }

// Any order of permits, results, releases, late results and steps of time, against what was promised.
TEST(CircuitBreaker, ExactlyNTrialsUnderAnyInterleaving) {
  int late_closings = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    int trials = 1 + static_cast<int>(random() % 4);
    CircuitBreaker breaker({.consecutive_failures = 3, .failure_rate = 0, .trials = trials});
    std::vector<CircuitBreaker::Permit> out;
    // Of the half-open under way: its first and its last generation, trials of the last one, good ones of all.
    int64_t first = -1;
    uint32_t last = 0;
    int under_way = 0, good = 0;
    int closings = 0;
    Instant now = kNow;
    for (int step = 0; step < 5000; ++step) {
      double failing = (step / 500) % 2 == 0 ? 0.7 : 0.05;
      if (random() % 4 == 0) now += milliseconds(random() % 300);
      BreakerState before = breaker.state(now);
      if (out.empty() || random() % 2 == 0) {
        CircuitBreaker::Decision decision = breaker.Acquire(now);
        if (!decision.allowed) {
          ASSERT_NE(before, kClosed);
          ASSERT_GT(decision.retry_at, now);
          continue;
        }
        out.push_back(decision.permit);
        ASSERT_EQ(decision.permit.trial, before == kHalfOpen);
        ASSERT_TRUE(breaker.Stands(decision.permit));
        if (decision.permit.trial) {
          uint32_t generation = decision.permit.generation;
          if (first < 0) {
            first = generation;
            good = 0;
          }
          if (std::exchange(last, generation) != generation) under_way = 0;
          ++under_way;
          ASSERT_LE(under_way + good, trials) << "seed " << seed << " step " << step;
        }
        continue;
      }
      size_t i = random() % out.size();
      CircuitBreaker::Permit permit = out[i];
      out[i] = out.back();
      out.pop_back();
      bool stands = breaker.Stands(permit);
      double dice = random.NextDouble();
      AttemptVerdict verdict = dice < 0.2 ? kIgnored : random.NextDouble() < failing ? kFailure : kSuccess;
      bool opened = false;
      if (verdict == kIgnored && random() % 2 == 0) {
        breaker.Release(permit);
      } else {
        opened = breaker.Record(permit, verdict, kFast, now);
      }
      BreakerState after = breaker.state(now);
      if (!stands) {
        bool given_up = permit.trial && first >= 0 && permit.generation >= first;
        if (given_up && verdict == kSuccess && ++good == trials) {
          ASSERT_EQ(after, kClosed);
          first = -1;
          ++late_closings;
          continue;
        }
        ASSERT_EQ(after, before);
        ASSERT_FALSE(opened);
        continue;
      }
      if (!permit.trial) {
        ASSERT_EQ(opened, before == kClosed && after == kOpen);
        continue;
      }
      --under_way;
      if (verdict == kSuccess) ++good;
      ASSERT_EQ(opened, verdict == kFailure);
      ASSERT_EQ(after == kClosed, good == trials);
      if (opened || after == kClosed) first = -1;
      if (after == kClosed) ++closings;
    }
    EXPECT_GT(closings, 0) << "seed " << seed;
  }
  EXPECT_GT(late_closings, 0);
}

TEST(BreakerVerdict, StatusesByTheOptions) {
  BreakerOptions options;
  for (int status = 200; status < 600; ++status) {
    bool failure = status == 500 || status == 502 || status == 503 || status == 504;
    EXPECT_EQ(BreakerVerdict(nullptr, status, options), failure ? kFailure : kSuccess) << status;
  }
  options.failure_statuses = {404};
  EXPECT_EQ(BreakerVerdict(nullptr, 404, options), kFailure);
  EXPECT_EQ(BreakerVerdict(nullptr, 500, options), kSuccess);
  options.failure_statuses.clear();
  EXPECT_EQ(BreakerVerdict(nullptr, 503, options), kSuccess);
}

TEST(BreakerVerdict, FailuresByWhoseFaultTheyAre) {
  using enum FailureCode;
  struct Row {
    FailureCode code;
    Phase phase;
    AttemptVerdict verdict;
  };
  for (Row row : {Row{kDnsError, Phase::kDns, kFailure},
                  Row{kDnsTimeout, Phase::kDns, kFailure},
                  Row{kConnectionRefused, Phase::kConnect, kFailure},
                  Row{kDestinationUnavailable, Phase::kConnect, kFailure},
                  Row{kConnectionTimeout, Phase::kConnect, kFailure},
                  Row{kConnectionTerminated, Phase::kWait, kFailure},
                  Row{kConnectionWriteTimeout, Phase::kSend, kFailure},
                  Row{kConnectionReadTimeout, Phase::kReceive, kFailure},
                  Row{kTlsProtocolError, Phase::kTls, kFailure},
                  Row{kTlsAlertReceived, Phase::kTls, kFailure},
                  Row{kTlsTimeout, Phase::kTls, kFailure},
                  Row{kTlsCertificateError, Phase::kTls, kIgnored},
                  Row{kHttpProtocolError, Phase::kWait, kFailure},
                  Row{kHttpResponseIncomplete, Phase::kReceive, kFailure},
                  Row{kHttpResponseTimeout, Phase::kWait, kFailure},
                  Row{kMinRateTimeout, Phase::kReceive, kFailure},
                  Row{kAttemptTimeout, Phase::kConnect, kFailure},
                  Row{kAttemptTimeout, Phase::kWait, kFailure},
                  Row{kAttemptTimeout, Phase::kReceive, kIgnored},
                  Row{kTotalTimeout, Phase::kTls, kFailure},
                  Row{kTotalTimeout, Phase::kWait, kFailure},
                  Row{kTotalTimeout, Phase::kSend, kIgnored},
                  Row{kTotalTimeout, Phase::kQueue, kIgnored},
                  Row{kTotalTimeout, Phase::kBackoff, kIgnored},
                  Row{kRequestInvalid, Phase::kPolicy, kIgnored},
                  Row{kHttpRequestDenied, Phase::kPolicy, kIgnored},
                  Row{kDestinationIpProhibited, Phase::kConnect, kIgnored},
                  Row{kConnectionLimitReached, Phase::kQueue, kIgnored},
                  Row{kQueueTimeout, Phase::kQueue, kIgnored},
                  Row{kCircuitOpen, Phase::kPolicy, kIgnored},
                  Row{kRateLimited, Phase::kQueue, kIgnored},
                  Row{kHttpResponseHeaderSectionSize, Phase::kReceive, kIgnored},
                  Row{kHttpResponseBodySize, Phase::kReceive, kIgnored},
                  Row{kHttpRequestBodySize, Phase::kSend, kIgnored},
                  Row{kPageInvalid, Phase::kPaginate, kIgnored},
                  Row{kCancelled, Phase::kWait, kIgnored},
                  Row{kInternal, Phase::kWait, kIgnored}}) {
    Failure failure{.code = row.code, .phase = row.phase, .processed = Processed::kMaybe, .detail = {}};
    EXPECT_EQ(BreakerVerdict(&failure, 0, {}), row.verdict) << ToString(row.code) << " " << ToString(row.phase);
  }
}

TEST(BreakerVerdict, AReusedConnectionThatDiedSaysNothing) {
  Failure failure{.code = FailureCode::kConnectionTerminated,
                  .phase = Phase::kWait,
                  .processed = Processed::kMaybe,
                  .detail = {},
                  .reused_connection = true};
  EXPECT_EQ(BreakerVerdict(&failure, 0, {}), kIgnored);
  failure.code = FailureCode::kHttpResponseTimeout;
  EXPECT_EQ(BreakerVerdict(&failure, 0, {}), kFailure);
}

}  // namespace
}  // namespace fetchd::server
