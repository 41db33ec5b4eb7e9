#include "policy/deadline.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "policy/retry.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));
constexpr Duration kTick{1};

TEST(Deadline, AnAttemptFitsUpToTheLastInstant) {
  const Instant deadline = kNow + seconds(3);
  const Duration most = seconds(3) - kLeastAttemptTime;
  EXPECT_TRUE(AttemptFits(kNow, most - kTick, deadline));
  EXPECT_TRUE(AttemptFits(kNow, most, deadline));
  EXPECT_FALSE(AttemptFits(kNow, most + kTick, deadline));
  EXPECT_TRUE(AttemptFits(deadline - kLeastAttemptTime, {}, deadline));
  EXPECT_FALSE(AttemptFits(deadline - kLeastAttemptTime + kTick, {}, deadline));
  EXPECT_FALSE(AttemptFits(deadline, {}, deadline));
  EXPECT_FALSE(AttemptFits(deadline + seconds(1), {}, deadline));
}

TEST(Deadline, WithoutADeadlineEverythingFits) {
  EXPECT_EQ(LatestAttempt(kNever), kNever);
  EXPECT_TRUE(AttemptFits(kNow, Duration::max(), kNever));
  EXPECT_EQ(AttemptDeadline(kNow, Duration::max(), kNever), kNever);
  EXPECT_EQ(WaitUntil(kNow, Duration::max(), kNever), kNever);
  EXPECT_FALSE(AttemptFits(kNow, Duration::max(), kNow + seconds(1)));
}

TEST(Deadline, AnAttemptTakesTheLesserOfItsTimeAndWhatIsLeft) {
  EXPECT_EQ(AttemptDeadline(kNow, seconds(2), kNow + seconds(3)), kNow + seconds(2));
  EXPECT_EQ(AttemptDeadline(kNow, seconds(3), kNow + seconds(3)), kNow + seconds(3));
  EXPECT_EQ(AttemptDeadline(kNow, seconds(4), kNow + seconds(3)), kNow + seconds(3));
}

TEST(Deadline, AWaitLeavesTimeForTheAttempt) {
  const Instant deadline = kNow + seconds(3);
  EXPECT_EQ(WaitUntil(kNow, seconds(2), deadline), kNow + seconds(2));
  EXPECT_EQ(WaitUntil(kNow, seconds(3), deadline), deadline - kLeastAttemptTime);
  EXPECT_EQ(WaitUntil(kNow, kForever, deadline), deadline - kLeastAttemptTime);
}

// A whole fetch by the algebra and the retry policy, with times drawn at random: it queues, attempts, backs off and
// goes on. Checks after each step that what was begun could end well.
class Fetch {
 public:
  explicit Fetch(uint64_t seed) : random_(seed) {
    options_.max_attempts = 1 + static_cast<int>(random_() % 10);
    options_.initial_backoff = Draw(milliseconds(500));
    options_.max_backoff = Draw(seconds(20));
    options_.jitter = static_cast<Jitter>(random_() % 4);
    deadline_ = random_() % 8 == 0 ? kNever : After(kNow, Draw(seconds(40)));
    attempt_ = random_() % 8 == 0 ? kForever : Draw(seconds(10));
    queue_ = random_() % 8 == 0 ? kForever : Draw(seconds(5));
  }

  void Run() {
    RetryQuestion question{.idempotent = true, .attempts = 0, .retry_after = std::nullopt, .now = kNow};
    question.deadline = deadline_;
    Instant now = kNow;
    Failure failure{.code = FailureCode::kConnectionTerminated, .processed = Processed::kMaybe, .detail = {}};
    if (!AttemptFits(now, {}, deadline_)) return;
    for (;;) {
      // For a turn.
      const Instant until = WaitUntil(now, queue_, deadline_);
      ASSERT_GE(until, now);
      now = std::min(until, After(now, random_() % 2 == 0 ? Duration::zero() : Draw(seconds(6))));
      // The attempt: it has at least the least time, and no more than its own or what is left.
      ASSERT_TRUE(AttemptFits(now, {}, deadline_));
      const Instant end = AttemptDeadline(now, attempt_, deadline_);
      ASSERT_LE(end, deadline_);
      ASSERT_LE(end, After(now, attempt_));
      ASSERT_GE(end, std::min(After(now, attempt_), now + kLeastAttemptTime));
      now = std::min(end, After(now, Draw(seconds(12))));
      ++question.attempts;
      ASSERT_LE(question.attempts, options_.max_attempts);
      // What next?
      const bool answered = random_() % 2 == 0;
      failure.reused_connection = random_() % 4 == 0;
      question.failure = answered ? nullptr : &failure;
      question.status = answered ? 503 : 0;
      question.retry_after.reset();
      if (answered && random_() % 3 == 0) question.retry_after = Draw(seconds(70));
      question.now = now;
      const RetryDecision decision = DecideRetry(question, options_, random_);
      if (!decision.again()) {
        Ended(question, decision);
        return;
      }
      if (decision.verdict == RetryVerdict::kRetryFresh) {
        ASSERT_FALSE(question.free_attempt_used);
        question.free_attempt_used = true;
        --question.attempts;
      } else {
        ASSERT_LT(question.attempts, options_.max_attempts);
        ASSERT_GE(decision.wait, question.retry_after.value_or(Duration::zero()));
        ASSERT_LE(decision.wait, std::max(options_.max_backoff, options_.max_retry_after));
        question.previous_wait = decision.wait;
      }
      // Never a wait past what is left, never an attempt that cannot finish.
      ASSERT_TRUE(AttemptFits(now, decision.wait, deadline_));
      now = After(now, decision.wait);
    }
  }

  RetryVerdict end() const { return end_; }

 private:
  // It gives up only if one more attempt is not allowed or does not fit.
  void Ended(const RetryQuestion& question, const RetryDecision& decision) {
    end_ = decision.verdict;
    if (end_ == RetryVerdict::kNoAttemptsLeft) {
      EXPECT_EQ(question.attempts, options_.max_attempts);
    } else {
      ASSERT_EQ(end_, RetryVerdict::kDoesNotFit);
      const Duration asked = question.retry_after.value_or(Duration::zero());
      const Duration most = std::max(asked, options_.max_backoff);
      EXPECT_TRUE(asked > options_.max_retry_after || !AttemptFits(question.now, most, deadline_));
    }
  }
  Duration Draw(Duration most) {
    return Duration(static_cast<Duration::rep>(random_.NextDouble() * static_cast<double>(most.count())));
  }

  Random random_;
  RetryOptions options_;
  Instant deadline_;
  Duration attempt_{}, queue_{};
  RetryVerdict end_ = RetryVerdict::kDone;
};

TEST(Deadline, NoFetchBeginsWhatCannotEnd) {
  int out_of_attempts = 0, out_of_time = 0;
  for (uint64_t seed = 1; seed <= 20'000; ++seed) {
    SCOPED_TRACE(seed);
    Fetch fetch(seed);
    fetch.Run();
    if (testing::Test::HasFatalFailure()) return;
    out_of_attempts += fetch.end() == RetryVerdict::kNoAttemptsLeft;
    out_of_time += fetch.end() == RetryVerdict::kDoesNotFit;
  }
  // Both ends were met often.
  EXPECT_GT(out_of_attempts, 2000);
  EXPECT_GT(out_of_time, 2000);
}

}  // namespace
}  // namespace fetchd::server
