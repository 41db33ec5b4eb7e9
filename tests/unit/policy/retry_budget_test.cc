#include "policy/retry_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <queue>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));

void Attempts(RetryBudget& budget, int n, Instant now) {
  for (int i = 0; i < n; ++i) budget.OnAttempt(now);
}

int WithdrawAll(RetryBudget& budget, Instant now) {
  int n = 0;
  while (n < 1000000 && budget.TryWithdraw(now)) ++n;
  return n;
}

TEST(RetryBudget, TheShareOfTheWindowsAttempts) {
  struct Row {
    double ratio;
    int attempts, retries;
  };
  for (Row row : {Row{0.2, 4, 0}, Row{0.2, 5, 1}, Row{0.2, 6, 1}, Row{0.2, 9, 1}, Row{0.2, 10, 2}, Row{0.2, 1000, 200},
                  Row{0.29, 99, 28}, Row{0.29, 100, 29}, Row{0, 1000, 0}, Row{1, 7, 7}}) {
    RetryBudget budget({.ratio = row.ratio, .min_concurrent = 0});
    Attempts(budget, row.attempts, kNow);
    EXPECT_EQ(WithdrawAll(budget, kNow), row.retries) << row.ratio << " of " << row.attempts;
  }
}

TEST(RetryBudget, AQuietOriginHasItsFewConcurrentRetries) {
  for (int least : {0, 1, 3}) {
    RetryBudget budget({.min_concurrent = least});
    EXPECT_EQ(WithdrawAll(budget, kNow), least);
    if (least == 0) continue;
    budget.OnRetryEnded();
    EXPECT_TRUE(budget.TryWithdraw(kNow));
    EXPECT_FALSE(budget.TryWithdraw(kNow));
    EXPECT_EQ(budget.in_flight(), least);
  }
}

TEST(RetryBudget, RetriesBeyondTheShareAreChargedToIt) {
  RetryBudget budget({.ratio = 0.2, .min_concurrent = 3});
  EXPECT_EQ(WithdrawAll(budget, kNow), 3);
  EXPECT_DOUBLE_EQ(budget.available(kNow), -3);
  Attempts(budget, 19, kNow);
  EXPECT_FALSE(budget.TryWithdraw(kNow));
  Attempts(budget, 1, kNow);
  EXPECT_TRUE(budget.TryWithdraw(kNow)) << "the fourth of 20";
  EXPECT_FALSE(budget.TryWithdraw(kNow));
}

TEST(RetryBudget, AttemptsAreForgottenAfterTheWindow) {
  for (Duration age : {milliseconds(9999), milliseconds(10000)}) {
    RetryBudget budget({.min_concurrent = 0});
    Attempts(budget, 10, kNow);
    EXPECT_EQ(budget.available(kNow + age), age < seconds(10) ? 2 : 0);
    EXPECT_EQ(WithdrawAll(budget, kNow + age), age < seconds(10) ? 2 : 0);
  }
}

TEST(RetryBudget, NewOptionsKeepWhatIsInFlight) {
  RetryBudget budget({.min_concurrent = 2});
  WithdrawAll(budget, kNow);
  budget.SetOptions({.ratio = 0.5, .min_concurrent = 2});
  EXPECT_EQ(budget.in_flight(), 2);
  Attempts(budget, 6, kNow);
  EXPECT_EQ(WithdrawAll(budget, kNow), 1);
  budget.SetOptions({.window = seconds(20), .min_concurrent = 4});
  EXPECT_EQ(WithdrawAll(budget, kNow), 1);
}

TEST(RetryBudget, IsSmall) { EXPECT_LE(sizeof(RetryBudget), 160u); }

struct Fleet {
  double rps;
  double failing;
  Duration latency;
};

// Requests of a fleet against an origin of which a share fails, with 3 attempts each and full-jitter backoff from
// 100 ms: attempts that reach it, for each request.
double Amplification(Fleet fleet, uint64_t seed) {
  Random random(seed);
  RetryBudget budget{RetryBudgetOptions{}};
  struct Event {
    Instant at;
    int attempt;
    bool ends;
    bool operator<(const Event& other) const { return at > other.at; }
  };
  std::priority_queue<Event> events;
  int64_t requests = 0, attempts = 0;
  Instant end = kNow + seconds(40);
  events.push({kNow, 1, false});
  while (!events.empty()) {
    Event event = events.top();
    events.pop();
    if (!event.ends) {
      ++attempts;
      if (event.attempt == 1) {
        ++requests;
        budget.OnAttempt(event.at);
        Instant next = event.at + Duration(static_cast<int64_t>(1e9 / fleet.rps));
        if (next < end) events.push({next, 1, false});
      }
      events.push({event.at + fleet.latency, event.attempt, true});
      continue;
    }
    if (event.attempt > 1) budget.OnRetryEnded();
    if (event.attempt == 3 || random.NextDouble() >= fleet.failing || !budget.TryWithdraw(event.at)) continue;
    double ceiling = 1e8 * event.attempt;
    events.push({event.at + Duration(static_cast<int64_t>(random.NextDouble() * ceiling)), event.attempt + 1, false});
  }
  EXPECT_EQ(budget.in_flight(), 0);
  return static_cast<double>(attempts) / static_cast<double>(requests);
}

TEST(RetryBudget, AmplificationIsBounded) {
  for (Fleet fleet :
       {Fleet{1000, 0.3, milliseconds(20)}, Fleet{1000, 1, milliseconds(20)}, Fleet{1000, 1, milliseconds(1)},
        Fleet{200, 0.3, milliseconds(50)}, Fleet{3000, 0.3, seconds(1)}}) {
    for (uint64_t seed : {1, 2, 3}) {
      double amplification = Amplification(fleet, seed);
      EXPECT_LE(amplification, 1.25) << fleet.rps << " rps, " << fleet.failing << " failing, seed " << seed;
      EXPECT_GE(amplification, 1.15) << fleet.rps << " rps: the budget is there to be used";
    }
  }
}

TEST(RetryBudget, FewFailuresAreAllRetried) {
  EXPECT_NEAR(Amplification({1000, 0.05, milliseconds(20)}, 4), 1.0525, 0.005);
}

// At each withdrawal: within the share, or one of the few that are always allowed.
TEST(RetryBudget, EveryRetryIsWithinTheShareOrTheFloor) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    RetryBudgetOptions options{.ratio = 0.2, .min_concurrent = static_cast<int>(random() % 4)};
    RetryBudget budget(options);
    std::vector<Instant> attempts, retries;
    Instant now = kNow;
    for (int i = 0; i < 3000; ++i) {
      now += Duration(static_cast<int64_t>(random.NextDouble() * 5e7));
      uint64_t dice = random() % 10;
      if (dice < 6) {
        budget.OnAttempt(now);
        attempts.push_back(now);
      } else if (dice < 7) {
        if (budget.in_flight() > 0) budget.OnRetryEnded();
      } else {
        int before = budget.in_flight();
        if (!budget.TryWithdraw(now)) {
          ASSERT_GE(before, options.min_concurrent);
          continue;
        }
        retries.push_back(now);
        if (before < options.min_concurrent) continue;
        auto within = [&](const std::vector<Instant>& events, Duration age) {
          return static_cast<double>(
              std::count_if(events.begin(), events.end(), [&](Instant at) { return now - at < age; }));
        };
        ASSERT_LE(within(retries, seconds(9)), options.ratio * within(attempts, seconds(10)) + 1e-6) << "seed " << seed;
      }
    }
    EXPECT_FALSE(retries.empty());
  }
}

}  // namespace
}  // namespace fetchd::server
