#include "engine/layers/retry_layer.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "engine/kept_response.h"
#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What one attempt does.
struct Step {
  int status = 0;  // 0: no response
  std::string body = {};
  std::string retry_after = {};
  std::optional<Failure> failure = {};
  Duration takes{};
  bool announce_length = false;
};

Failure Fail(FailureCode code, Processed processed, bool reused = false) {
  return {
      .code = code, .phase = Phase::kWait, .processed = processed, .detail = "planned", .reused_connection = reused};
}

// Plays the attempts of a script.
class ScriptedService final : public Service {
 public:
  explicit ScriptedService(FakeClock& clock) : clock_(clock) {}
  std::deque<Step> steps;
  std::vector<bool> fresh;

  Task<AttemptOutcome> Call(FetchContext& context) override {
    fresh.push_back(context.fresh_connection);
    AttemptOutcome outcome;
    Step step = steps.at(fresh.size() - 1);
    clock_.Advance(step.takes);
    if (step.status != 0) {
      ResponseHead head{.status = step.status, .headers = {}, .content_length = std::nullopt, .redirects = nullptr};
      if (!step.retry_after.empty()) head.headers.Add("retry-after", step.retry_after);
      if (step.announce_length) head.content_length = step.body.size();
      context.record.status = step.status;
      ResponseSink& sink = context.judge->OnHead(head);
      sink.OnHead(std::move(head));
      std::string_view left = step.body;
      while (!left.empty()) {
        std::span<char> room = sink.Prepare(left.size());
        size_t n = std::min(room.size(), left.size());
        left.copy(room.data(), n);
        sink.Commit(n);
        left.remove_prefix(n);
      }
      outcome.response_bytes = step.body.size();
      outcome.trailers.Add("from", std::to_string(fresh.size()));
    }
    outcome.failure = step.failure;
    co_return outcome;
  }

 private:
  FakeClock& clock_;
};

class RetryLayerTest : public testing::Test {
 protected:
  RetryLayerTest() {
    auto service = std::make_unique<ScriptedService>(clock_);
    service_ = service.get();
    layer_ = std::make_unique<RetryLayer>(std::move(service), loop_.executor(), random_, metrics_);
  }
  void Start(std::deque<Step> steps) {
    service_->steps = std::move(steps);
    context_ = std::make_unique<FetchContext>(spec_, body_, sink_, origin_, scope_);
    loop_.Start(layer_->Call(*context_), outcome_);
    loop_.Poll();
  }
  AttemptOutcome& RunAll(std::deque<Step> steps) {
    Start(std::move(steps));
    for (int i = 0; i < 100 && !outcome_; ++i) loop_.Advance(seconds(1));
    EXPECT_TRUE(outcome_.has_value());
    return *outcome_;
  }
  int attempts() const { return static_cast<int>(service_->fresh.size()); }

  FakeClock clock_;
  Loop loop_{clock_};
  ThreadMetrics metrics_;
  Random random_{1};
  FetchSpec spec_;
  RequestBody* body_ = nullptr;
  MemorySink sink_{loop_.executor()};
  OriginState origin_{Origin{}, {}, 128, loop_.clock(), loop_.timers(), metrics_, 1};
  CancelScope scope_{loop_.clock(), loop_.timers(), kNever, FailureCode::kTotalTimeout};
  ScriptedService* service_;
  std::unique_ptr<RetryLayer> layer_;
  std::unique_ptr<FetchContext> context_;
  std::optional<AttemptOutcome> outcome_;
};

TEST_F(RetryLayerTest, ASuccessGoesStraightToTheCaller) {
  AttemptOutcome& o = RunAll({{.status = 200, .body = "ok"}});
  EXPECT_FALSE(o.failure.has_value());
  EXPECT_EQ(sink_.body(), "ok");
  EXPECT_EQ(context_->attempts, 1);
  EXPECT_TRUE(context_->committed);
  EXPECT_EQ(context_->status, 200);
  EXPECT_EQ(metrics_.attempts[2].value(), 1);
}

TEST_F(RetryLayerTest, ABadGatewayIsReplacedByABetterAnswer) {
  AttemptOutcome& o = RunAll({{.status = 502, .body = "bad"}, {.status = 200, .body = "ok"}});
  EXPECT_FALSE(o.failure.has_value());
  EXPECT_EQ(sink_.heads(), 1);
  EXPECT_EQ(sink_.head().status, 200);
  EXPECT_EQ(sink_.body(), "ok");
  EXPECT_EQ(context_->attempts, 2);
  EXPECT_EQ(metrics_.attempts[5].value(), 1);
}

TEST_F(RetryLayerTest, TheLastResponseIsTheOutcomeWhenAttemptsRunOut) {
  AttemptOutcome& o =
      RunAll({{.status = 502, .body = "1"}, {.status = 503, .body = "2"}, {.status = 504, .body = "3"}});
  EXPECT_FALSE(o.failure.has_value());
  EXPECT_EQ(sink_.head().status, 504);
  EXPECT_EQ(sink_.body(), "3");
  EXPECT_EQ(attempts(), 3);
}

TEST_F(RetryLayerTest, AResponseIsWorthMoreThanALaterFailure) {
  AttemptOutcome& o = RunAll({{.status = 503, .body = "sorry"},
                              {.failure = Fail(FailureCode::kConnectionRefused, Processed::kNo)},
                              {.failure = Fail(FailureCode::kConnectionRefused, Processed::kNo)}});
  EXPECT_FALSE(o.failure.has_value());
  EXPECT_EQ(sink_.head().status, 503);
  EXPECT_EQ(sink_.body(), "sorry");
  EXPECT_EQ(o.trailers.Find("from"), "1");
  EXPECT_EQ(context_->attempts, 3);
  EXPECT_EQ(context_->status, 503);
}

TEST_F(RetryLayerTest, WithoutAResponseTheLastFailureIsTheOutcome) {
  AttemptOutcome& o = RunAll({{.failure = Fail(FailureCode::kConnectionTerminated, Processed::kMaybe)},
                              {.failure = Fail(FailureCode::kDnsTimeout, Processed::kNo)},
                              {.failure = Fail(FailureCode::kConnectionRefused, Processed::kNo)}});
  ASSERT_TRUE(o.failure.has_value());
  EXPECT_EQ(o.failure->code, FailureCode::kConnectionRefused);
  // The first attempt may have done something all the same.
  EXPECT_EQ(o.failure->processed, Processed::kMaybe);
  EXPECT_NE(o.failure->detail.find("attempt 3"), std::string::npos);
  EXPECT_EQ(sink_.heads(), 0);
}

TEST_F(RetryLayerTest, AnUnsafeRequestIsNotSentTwice) {
  spec_.method = "POST";
  RunAll({{.status = 503, .body = "no"}});
  EXPECT_EQ(sink_.head().status, 503);
  EXPECT_EQ(attempts(), 1);
}

TEST_F(RetryLayerTest, AStaleConnectionIsReplacedAtOnceAndForFree) {
  spec_.retry.max_attempts = 1;
  Start({{.failure = Fail(FailureCode::kConnectionTerminated, Processed::kMaybe, true)}, {.status = 200}});
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_FALSE(outcome_->failure.has_value());
  EXPECT_EQ(service_->fresh, (std::vector<bool>{false, true}));
  EXPECT_EQ(context_->attempts, 2);
}

TEST_F(RetryLayerTest, RetryAfterIsWaitedFor) {
  Start({{.status = 503, .retry_after = "7"}, {.status = 200}});
  loop_.Advance(seconds(7) - milliseconds(1));
  EXPECT_EQ(attempts(), 1);
  loop_.Advance(milliseconds(1));
  EXPECT_EQ(attempts(), 2);
  EXPECT_EQ(context_->retry_at, std::nullopt);
}

TEST_F(RetryLayerTest, AnAnswerWhoseRetryAfterDoesNotFitIsReturned) {
  scope_.SetDeadline(clock_.Now() + seconds(5));
  Start({{.status = 503, .body = "later", .retry_after = "6"}});
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_FALSE(outcome_->failure.has_value());
  EXPECT_EQ(sink_.head().status, 503);
  EXPECT_EQ(sink_.body(), "later");
  EXPECT_EQ(context_->retry_at, clock_.WallNow() + seconds(6));
}

TEST_F(RetryLayerTest, ABodyThatTookTheTimeOfTheNextAttemptIsReturned) {
  scope_.SetDeadline(clock_.Now() + seconds(5));
  // The head promises an attempt; then its body takes too long.
  class SlowBody final : public Service {
   public:
    explicit SlowBody(FakeClock& clock) : clock_(clock) {}
    Task<AttemptOutcome> Call(FetchContext& context) override {
      ResponseHead head{.status = 503, .headers = {}, .content_length = std::nullopt, .redirects = nullptr};
      ResponseSink& sink = context.judge->OnHead(head);
      sink.OnHead(std::move(head));
      clock_.Advance(milliseconds(4999));
      co_return AttemptOutcome{};
    }

   private:
    FakeClock& clock_;
  };
  spec_.retry.initial_backoff = seconds(1);
  RetryLayer layer(std::make_unique<SlowBody>(clock_), loop_.executor(), random_, metrics_);
  FetchContext context(spec_, nullptr, sink_, origin_, scope_);
  AttemptOutcome o = loop_.Run(layer.Call(context));
  EXPECT_FALSE(o.failure.has_value());
  EXPECT_EQ(sink_.head().status, 503);
  EXPECT_EQ(context.attempts, 1);
}

TEST_F(RetryLayerTest, AnIncompleteResponseIsHandedOverWithItsFailure) {
  AttemptOutcome& o =
      RunAll({{.status = 503, .body = "par", .failure = Fail(FailureCode::kHttpProtocolError, Processed::kYes)}});
  ASSERT_TRUE(o.failure.has_value());
  EXPECT_EQ(o.failure->code, FailureCode::kHttpProtocolError);
  EXPECT_EQ(sink_.head().status, 503);
  EXPECT_EQ(sink_.body(), "par");
}

TEST_F(RetryLayerTest, AFailureAfterTheCommitPointIsFinal) {
  AttemptOutcome& o =
      RunAll({{.status = 200, .body = "par", .failure = Fail(FailureCode::kHttpResponseIncomplete, Processed::kYes)}});
  ASSERT_TRUE(o.failure.has_value());
  EXPECT_EQ(attempts(), 1);
  EXPECT_EQ(sink_.body(), "par");
}

TEST_F(RetryLayerTest, AResponseTooLargeToKeepIsTheOutcome) {
  for (bool announced : {false, true}) {
    outcome_.reset();
    service_->fresh.clear();
    std::string body(KeptResponse::kMaxBody + 1, 'x');
    size_t before = sink_.body().size();
    RunAll({{.status = 503, .body = body, .announce_length = announced}});
    EXPECT_EQ(attempts(), 1);
    EXPECT_EQ(sink_.body().size() - before, body.size());
    EXPECT_EQ(context_->status, 503);
  }
}

TEST_F(RetryLayerTest, CancelledInTheBackoff) {
  Start({{.status = 503, .retry_after = "7"}});
  scope_.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_EQ(outcome_->failure->code, FailureCode::kCancelled);
  EXPECT_EQ(outcome_->failure->phase, Phase::kBackoff);
  EXPECT_EQ(sink_.heads(), 0);
}

TEST_F(RetryLayerTest, StoppedBeforeTheFirstAttempt) {
  scope_.Cancel(FailureCode::kTotalTimeout);
  Start({});
  ASSERT_TRUE(outcome_.has_value());
  EXPECT_EQ(outcome_->failure->code, FailureCode::kTotalTimeout);
  EXPECT_EQ(outcome_->failure->phase, Phase::kPolicy);
  EXPECT_EQ(outcome_->failure->processed, Processed::kNo);
  EXPECT_EQ(context_->attempts, 0);
}

TEST_F(RetryLayerTest, StreamedBodiesAreSentOnceOnceBegun) {
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  body_ = &body;
  spec_.method = "PUT";
  RunAll({{.failure = Fail(FailureCode::kConnectionRefused, Processed::kNo)}, {.status = 503}});
  EXPECT_EQ(attempts(), 2);
  EXPECT_EQ(sink_.head().status, 503);
}

}  // namespace
}  // namespace fetchd::server
