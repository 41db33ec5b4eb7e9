#include "policy/retry.h"

#include <gtest/gtest.h>

#include "policy/backoff.h"
#include "policy/classify.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kNow = Instant(seconds(1000));

Failure Fail(FailureCode code, Processed processed, bool reused = false) {
  return {.code = code, .phase = Phase::kWait, .processed = processed, .detail = {}, .reused_connection = reused};
}

TEST(Classify, OnlyGatewayStatusesAreRetryable) {
  for (int status = 200; status < 600; ++status) {
    bool retryable = status == 502 || status == 503 || status == 504;
    EXPECT_EQ(ClassifyStatus(status), retryable ? Classification::kRetryable : Classification::kSuccess) << status;
  }
}

TEST(Classify, TransientFailuresAreRetryableOthersPermanent) {
  EXPECT_EQ(ClassifyFailure(Fail(FailureCode::kConnectionRefused, Processed::kNo)), Classification::kRetryable);
  EXPECT_EQ(ClassifyFailure(Fail(FailureCode::kTlsCertificateError, Processed::kNo)), Classification::kPermanent);
  EXPECT_EQ(ClassifyFailure(Fail(FailureCode::kDestinationIpProhibited, Processed::kNo)), Classification::kPermanent);
  EXPECT_EQ(ClassifyFailure(Fail(FailureCode::kCancelled, Processed::kNo)), Classification::kPermanent);
}

TEST(Classify, IdempotencyByMethodKeyOrWord) {
  Headers none, key;
  key.Add("Idempotency-Key", "7");
  struct Row {
    std::string_view method;
    bool by_method;
  };
  for (Row row : {Row{"GET", true}, Row{"HEAD", true}, Row{"PUT", true}, Row{"DELETE", true}, Row{"OPTIONS", true},
                  Row{"TRACE", true}, Row{"QUERY", true}, Row{"PROPFIND", true}, Row{"POST", false},
                  Row{"PATCH", false}, Row{"get", false}, Row{"LOCK", false}, Row{"", false}}) {
    EXPECT_EQ(IsIdempotent(row.method, none, false), row.by_method) << row.method;
    EXPECT_TRUE(IsIdempotent(row.method, key, false)) << row.method;
    EXPECT_TRUE(IsIdempotent(row.method, none, true)) << row.method;
  }
}

TEST(Backoff, CeilingDoublesUpToTheMaximum) {
  EXPECT_EQ(BackoffCeiling(1, milliseconds(100), seconds(10)), milliseconds(100));
  EXPECT_EQ(BackoffCeiling(2, milliseconds(100), seconds(10)), milliseconds(200));
  EXPECT_EQ(BackoffCeiling(7, milliseconds(100), seconds(10)), milliseconds(6400));
  EXPECT_EQ(BackoffCeiling(8, milliseconds(100), seconds(10)), seconds(10));
  EXPECT_EQ(BackoffCeiling(1000, milliseconds(100), Duration::max()), Duration::max());
  EXPECT_EQ(BackoffCeiling(1, seconds(20), seconds(10)), seconds(10));
  EXPECT_EQ(BackoffCeiling(3, Duration::zero(), seconds(10)), Duration::zero());
}

TEST(Backoff, JitterFillsTheWholeRangeAndStaysInIt) {
  Random random(1);
  Duration least = Duration::max(), most{};
  for (int i = 0; i < 1000; ++i) {
    Duration d = FullJitterBackoff(2, milliseconds(100), seconds(10), random);
    ASSERT_GE(d, Duration::zero());
    ASSERT_LT(d, milliseconds(200));
    least = std::min(least, d);
    most = std::max(most, d);
  }
  EXPECT_LT(least, milliseconds(10));
  EXPECT_GT(most, milliseconds(190));
}

RetryVerdict Verdict(const RetryQuestion& q, const RetryOptions& options = {}) {
  Random random(3);
  return DecideRetry(q, options, random).verdict;
}

TEST(Retry, FailureTable) {
  using enum FailureCode;
  using enum RetryVerdict;
  struct Row {
    const char* name;
    Failure failure;
    bool idempotent, streamed;
    int attempts;
    bool free_used;
    RetryVerdict expected;
  };
  const Row rows[] = {
      {"refused, POST", Fail(kConnectionRefused, Processed::kNo), false, false, 1, false, kRetry},
      {"refused, streamed POST", Fail(kConnectionRefused, Processed::kNo), false, true, 1, false, kRetry},
      {"refused, second of three", Fail(kConnectionRefused, Processed::kNo), false, false, 2, false, kRetry},
      {"refused, third of three", Fail(kConnectionRefused, Processed::kNo), false, false, 3, false, kNoAttemptsLeft},
      {"bad certificate", Fail(kTlsCertificateError, Processed::kNo), true, false, 1, false, kPermanent},
      {"prohibited", Fail(kDestinationIpProhibited, Processed::kNo), true, false, 1, false, kPermanent},
      {"cancelled", Fail(kCancelled, Processed::kMaybe), true, false, 1, false, kPermanent},
      {"reset after sending, GET", Fail(kConnectionTerminated, Processed::kMaybe), true, false, 1, false, kRetry},
      {"reset after sending, POST", Fail(kConnectionTerminated, Processed::kMaybe), false, false, 1, false,
       kNotIdempotent},
      {"reset after sending, streamed PUT", Fail(kConnectionTerminated, Processed::kMaybe), true, true, 1, false,
       kStreamedBody},
      {"stale, GET", Fail(kConnectionTerminated, Processed::kMaybe, true), true, false, 1, false, kRetryFresh},
      {"stale, GET, last attempt", Fail(kConnectionTerminated, Processed::kMaybe, true), true, false, 3, false,
       kRetryFresh},
      {"stale twice, GET", Fail(kConnectionTerminated, Processed::kMaybe, true), true, false, 1, true, kRetry},
      {"stale, POST sent", Fail(kConnectionTerminated, Processed::kMaybe, true), false, false, 1, false,
       kNotIdempotent},
      {"stale, POST not sent", Fail(kConnectionTerminated, Processed::kNo, true), false, false, 1, false, kRetryFresh},
      {"stale, streamed, not sent", Fail(kConnectionTerminated, Processed::kNo, true), false, true, 1, false,
       kRetryFresh},
      {"reused but slow is not stale", Fail(kHttpResponseTimeout, Processed::kMaybe, true), true, false, 1, false,
       kRetry},
      {"cut in the body, GET", Fail(kHttpResponseIncomplete, Processed::kYes), true, false, 1, false, kRetry},
      {"cut in the body, POST", Fail(kHttpResponseIncomplete, Processed::kYes), false, false, 1, false, kNotIdempotent},
      {"not HTTP", Fail(kHttpProtocolError, Processed::kYes), true, false, 1, false, kPermanent},
      {"too large", Fail(kHttpResponseBodySize, Processed::kYes), true, false, 1, false, kPermanent},
  };
  for (const Row& row : rows) {
    RetryQuestion q{.failure = &row.failure,
                    .idempotent = row.idempotent,
                    .streamed_body = row.streamed,
                    .attempts = row.attempts,
                    .free_attempt_used = row.free_used,
                    .retry_after = std::nullopt,
                    .now = kNow};
    EXPECT_EQ(Verdict(q), row.expected) << row.name;
  }
}

TEST(Retry, StatusTable) {
  struct Row {
    int status;
    bool idempotent, streamed;
    RetryVerdict expected;
  };
  for (Row row : {Row{200, true, false, RetryVerdict::kDone}, Row{404, true, false, RetryVerdict::kDone},
                  Row{429, true, false, RetryVerdict::kDone}, Row{500, true, false, RetryVerdict::kDone},
                  Row{501, true, false, RetryVerdict::kDone}, Row{502, true, false, RetryVerdict::kRetry},
                  Row{503, true, false, RetryVerdict::kRetry}, Row{504, true, false, RetryVerdict::kRetry},
                  Row{505, true, false, RetryVerdict::kDone}, Row{503, false, false, RetryVerdict::kNotIdempotent},
                  Row{503, true, true, RetryVerdict::kStreamedBody}}) {
    RetryQuestion q{.status = row.status,
                    .idempotent = row.idempotent,
                    .streamed_body = row.streamed,
                    .retry_after = std::nullopt,
                    .now = kNow};
    EXPECT_EQ(Verdict(q), row.expected) << row.status;
  }
}

TEST(Retry, OneAttemptMeansNoRetries) {
  RetryQuestion q{.status = 503, .idempotent = true, .retry_after = std::nullopt, .now = kNow};
  EXPECT_EQ(Verdict(q, {.max_attempts = 1}), RetryVerdict::kNoAttemptsLeft);
  EXPECT_EQ(Verdict(q, {.max_attempts = 2}), RetryVerdict::kRetry);
}

TEST(Retry, RetryAfterIsTheLeastWait) {
  Random random(5);
  RetryQuestion q{.status = 503, .idempotent = true, .retry_after = seconds(3), .now = kNow};
  RetryDecision d = DecideRetry(q, {}, random);
  EXPECT_EQ(d.verdict, RetryVerdict::kRetry);
  EXPECT_EQ(d.wait, seconds(3));
  q.retry_after = Duration::zero();
  d = DecideRetry(q, {}, random);
  EXPECT_LT(d.wait, milliseconds(100));
}

TEST(Retry, RetryAfterUpToAMinute) {
  RetryQuestion q{.status = 503, .idempotent = true, .retry_after = kMaxRetryAfter, .now = kNow};
  EXPECT_EQ(Verdict(q), RetryVerdict::kRetry);
  q.retry_after = kMaxRetryAfter + Duration(1);
  EXPECT_EQ(Verdict(q), RetryVerdict::kDoesNotFit);
}

TEST(Retry, WaitMustLeaveTimeForAnAttempt) {
  RetryQuestion q{.status = 503, .idempotent = true, .retry_after = seconds(3), .now = kNow};
  q.deadline = kNow + seconds(3) + kLeastAttemptTime;
  EXPECT_EQ(Verdict(q), RetryVerdict::kRetry);
  q.deadline -= Duration(1);
  EXPECT_EQ(Verdict(q), RetryVerdict::kDoesNotFit);
  Failure stale = Fail(FailureCode::kConnectionTerminated, Processed::kMaybe, true);
  q.failure = &stale;
  q.deadline = kNow;
  EXPECT_EQ(Verdict(q), RetryVerdict::kDoesNotFit);
}

TEST(Retry, NamesAreDistinct) {
  EXPECT_EQ(ToString(RetryVerdict::kDoesNotFit), "does_not_fit");
  EXPECT_EQ(ToString(RetryVerdict::kRetryFresh), "retry_fresh");
}

}  // namespace
}  // namespace fetchd::server
