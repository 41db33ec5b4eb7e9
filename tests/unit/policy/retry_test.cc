#include "policy/retry.h"

#include <gtest/gtest.h>

#include <algorithm>

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

TEST(Classify, TheListedStatusesAreRetryable) {
  const RetryOptions defaults;
  for (int status = 200; status < 600; ++status) {
    const bool retryable =
        status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
    EXPECT_EQ(ClassifyStatus(status, defaults.statuses),
              retryable ? Classification::kRetryable : Classification::kSuccess)
        << status;
  }
  EXPECT_EQ(ClassifyStatus(503, {409}), Classification::kSuccess);
  EXPECT_EQ(ClassifyStatus(409, {409}), Classification::kRetryable);
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

TEST(Classify, OurOwnRefusals) {
  using enum FailureCode;
  for (int code = 1; code <= kLastReportedFailureCode; ++code) {
    const auto c = static_cast<FailureCode>(code);
    const bool refusal = c == kCircuitOpen || c == kRateLimited || c == kQueueTimeout || c == kConnectionLimitReached;
    EXPECT_EQ(IsOwnRefusal(c), refusal) << ToString(c);
    // The caller may come again.
    EXPECT_TRUE(!refusal || IsTransient(c)) << ToString(c);
  }
}

// 1,000 draws of retry 2 with 100 ms to 10 s: all within [least, most), and close to both ends.
TEST(Backoff, EachJitterFillsItsRange) {
  struct Row {
    Jitter jitter;
    Duration previous, least, most;
  };
  for (const Row& row :
       {Row{Jitter::kFull, {}, {}, milliseconds(200)}, Row{Jitter::kEqual, {}, milliseconds(100), milliseconds(200)},
        Row{Jitter::kDecorrelated, {}, milliseconds(100), milliseconds(300)},
        Row{Jitter::kDecorrelated, milliseconds(50), milliseconds(100), milliseconds(300)},
        Row{Jitter::kDecorrelated, milliseconds(250), milliseconds(100), milliseconds(750)},
        Row{Jitter::kDecorrelated, seconds(3), milliseconds(100), seconds(9)},
        Row{Jitter::kDecorrelated, seconds(10), milliseconds(100), seconds(10)}}) {
    SCOPED_TRACE(static_cast<int>(row.jitter));
    const RetryOptions options{.jitter = row.jitter};
    Random random(1);
    Duration least = Duration::max(), most{};
    for (int i = 0; i < 1000; ++i) {
      const Duration d = DrawBackoff(2, row.previous, options, random);
      ASSERT_GE(d, row.least);
      ASSERT_LT(d, row.most);
      least = std::min(least, d);
      most = std::max(most, d);
    }
    const Duration edge = (row.most - row.least) / 20;
    EXPECT_LT(least, row.least + edge);
    EXPECT_GT(most, row.most - edge);
  }
}

TEST(Backoff, WithoutJitterItIsTheCeiling) {
  Random random(1);
  const RetryOptions options{.jitter = Jitter::kNone};
  EXPECT_EQ(DrawBackoff(1, {}, options, random), milliseconds(100));
  EXPECT_EQ(DrawBackoff(3, seconds(7), options, random), milliseconds(400));
  EXPECT_EQ(DrawBackoff(9, {}, options, random), seconds(10));
}

TEST(Backoff, ExtremesDoNotOverflow) {
  Random random(1);
  for (Jitter jitter : {Jitter::kNone, Jitter::kFull, Jitter::kEqual, Jitter::kDecorrelated}) {
    RetryOptions options{.initial_backoff = seconds(20), .max_backoff = seconds(10), .jitter = jitter};
    EXPECT_LE(DrawBackoff(5, seconds(50), options, random), seconds(10));
    options.initial_backoff = options.max_backoff = Duration::zero();
    EXPECT_EQ(DrawBackoff(5, seconds(50), options, random), Duration::zero());
    options = {.initial_backoff = seconds(1), .max_backoff = kForever, .jitter = jitter};
    EXPECT_GE(DrawBackoff(1000, kForever, options, random), Duration::zero());
  }
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
      {"queue timeout", Fail(kQueueTimeout, Processed::kNo), true, false, 1, false, kRefused},
      {"queue full", Fail(kConnectionLimitReached, Processed::kNo), true, false, 1, false, kRefused},
      {"circuit open", Fail(kCircuitOpen, Processed::kNo), true, false, 1, false, kRefused},
      {"rate limited", Fail(kRateLimited, Processed::kNo), true, false, 1, false, kRefused},
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
      {"refused by HTTP/2, POST, last attempt", Fail(kHttp2StreamRefused, Processed::kNo, true), false, false, 3, false,
       kRetryFresh},
      {"refused by HTTP/2 twice", Fail(kHttp2StreamRefused, Processed::kNo, true), false, false, 1, true, kRetry},
      {"wants HTTP/1.1", Fail(kHttpVersionNotAvailable, Processed::kNo, true), false, false, 1, false, kRetryFresh},
      {"wants HTTP/1.1 twice", Fail(kHttpVersionNotAvailable, Processed::kNo, true), false, false, 1, true, kPermanent},
      {"never spoke HTTP/2", Fail(kHttp2ProtocolError, Processed::kNo, true), false, false, 1, false, kRetryFresh},
      {"broke HTTP/2", Fail(kHttp2ProtocolError, Processed::kMaybe, false), true, false, 1, false, kPermanent},
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

TEST(Retry, AStreamedBodyThatBeganIsNotSentAgain) {
  const Failure refused = Fail(FailureCode::kHttp2StreamRefused, Processed::kNo, true);
  RetryQuestion q;
  q.failure = &refused;
  q.streamed_body = true;
  q.now = kNow;
  EXPECT_EQ(Verdict(q), RetryVerdict::kRetryFresh);
  q.body_begun = true;
  EXPECT_EQ(Verdict(q), RetryVerdict::kStreamedBody);
  // One in memory can be.
  q.streamed_body = false;
  EXPECT_EQ(Verdict(q), RetryVerdict::kRetryFresh);
}

TEST(Retry, StatusTable) {
  struct Row {
    int status;
    bool idempotent, streamed;
    RetryVerdict expected;
  };
  using enum RetryVerdict;
  for (Row row : {Row{200, true, false, kDone}, Row{404, true, false, kDone}, Row{407, true, false, kDone},
                  Row{408, true, false, kRetry}, Row{409, true, false, kDone}, Row{424, true, false, kDone},
                  Row{425, true, false, kRetry}, Row{428, true, false, kDone}, Row{429, true, false, kRetry},
                  Row{499, true, false, kDone}, Row{500, true, false, kRetry}, Row{501, true, false, kDone},
                  Row{502, true, false, kRetry}, Row{503, true, false, kRetry}, Row{504, true, false, kRetry},
                  Row{505, true, false, kDone}, Row{503, false, false, kNotIdempotent},
                  Row{429, false, false, kNotIdempotent}, Row{503, true, true, kStreamedBody}}) {
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

TEST(Retry, RetryAfterUpToTheMost) {
  RetryQuestion q{.status = 503, .idempotent = true, .retry_after = seconds(60), .now = kNow};
  EXPECT_EQ(Verdict(q), RetryVerdict::kRetry);
  q.retry_after = seconds(60) + Duration(1);
  EXPECT_EQ(Verdict(q), RetryVerdict::kDoesNotFit);
  EXPECT_EQ(Verdict(q, {.max_retry_after = seconds(61)}), RetryVerdict::kRetry);
  q.retry_after = Duration(1);
  EXPECT_EQ(Verdict(q, {.max_retry_after = Duration::zero()}), RetryVerdict::kDoesNotFit);
}

TEST(Retry, DecorrelatedJitterGrowsFromTheWaitBefore) {
  const RetryOptions options{.max_attempts = 10, .jitter = Jitter::kDecorrelated};
  Random random(7);
  RetryQuestion q{.status = 500, .idempotent = true, .retry_after = std::nullopt, .now = kNow};
  Duration most{};
  for (q.attempts = 1; q.attempts < 10; ++q.attempts) {
    const RetryDecision d = DecideRetry(q, options, random);
    ASSERT_EQ(d.verdict, RetryVerdict::kRetry);
    EXPECT_GE(d.wait, options.initial_backoff);
    EXPECT_LT(d.wait, std::max(q.previous_wait, options.initial_backoff) * 3);
    q.previous_wait = d.wait;
    most = std::max(most, d.wait);
  }
  EXPECT_GT(most, milliseconds(300));
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
