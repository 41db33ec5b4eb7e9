// The layers together, in their order, around a scripted origin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/make_service.h"
#include "engine/origin_state.h"
#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How the origin answers one attempt.
struct Answer {
  // 0: it fails, as if the connection broke.
  int status = 200;
  Duration takes{};
  std::string retry_after = {};
};

// Stands where the exchange is: answers attempts by a script, each after its time.
class ScriptedOrigin final : public Service {
 public:
  explicit ScriptedOrigin(Loop& loop) : loop_(loop) {}
  // Attempts that find no answer here get a plain 200 at once.
  std::deque<Answer> answers;
  // When each attempt came.
  std::vector<Instant> came;
  int inside = 0;
  int most_inside = 0;

  Task<AttemptOutcome> Call(FetchContext& context) override {
    Answer answer;
    if (!answers.empty()) {
      answer = answers.front();
      answers.pop_front();
    }
    came.push_back(loop_.clock().Now());
    most_inside = std::max(most_inside, ++inside);
    context.peer = Endpoint{IpAddress::V4({192, 0, 2, 1}), 80};
    context.scope->SetDeadline(After(loop_.clock().Now(), context.spec.timeouts.attempt));
    AttemptOutcome outcome;
    Event never(loop_.executor());
    {
      CancelScope nap(*context.scope, After(loop_.clock().Now(), answer.takes), FailureCode::kInternal);
      while (answer.takes > Duration::zero() && !nap.stopped()) co_await never.Wait(nap);
    }
    --inside;
    context.record.phases.wait = loop_.clock().Now() - came.back();
    context.now = loop_.clock().Now();
    if (context.scope->stopped()) {
      outcome.failure = Failure{
          .code = context.scope->reason(), .phase = Phase::kWait, .processed = Processed::kMaybe, .detail = "stopped"};
      co_return outcome;
    }
    if (answer.status == 0) {
      outcome.failure = Failure{.code = FailureCode::kConnectionTerminated,
                                .phase = Phase::kWait,
                                .processed = Processed::kMaybe,
                                .detail = "broken"};
      co_return outcome;
    }
    ResponseHead head{.status = answer.status, .headers = {}, .content_length = 0, .redirects = nullptr};
    if (!answer.retry_after.empty()) head.headers.Add("retry-after", answer.retry_after);
    context.record.status = answer.status;
    ResponseSink& sink = context.judge->OnHead(head);
    sink.OnHead(std::move(head));
    co_return outcome;
  }

 private:
  Loop& loop_;
};

class LayersTest : public testing::Test {
 protected:
  // One caller's fetch.
  struct Fetch {
    explicit Fetch(LayersTest& test)
        : sink(test.loop_.executor()),
          scope(test.loop_.clock(), test.loop_.timers(), After(test.loop_.clock().Now(), test.total_),
                FailureCode::kTotalTimeout),
          spec(test.spec_),
          trace(test.loop_.clock().Now()),
          context(spec, nullptr, sink, *test.origin_, scope) {
      context.now = test.loop_.clock().Now();
      context.trace = &trace;
    }
    bool done() const { return outcome.has_value(); }
    FailureCode failure() const { return outcome->failure ? outcome->failure->code : FailureCode{0}; }
    std::vector<std::string> decisions() const {
      std::vector<std::string> all;
      for (const DecisionTrace& d : trace.decisions) all.push_back(std::string(d.rule) + " " + std::string(d.verdict));
      return all;
    }

    MemorySink sink;
    CancelScope scope;
    FetchSpec spec;
    Trace trace;
    FetchContext context;
    std::optional<AttemptOutcome> outcome;
  };

  void Make(const OriginPolicy& policy) {
    origin_ = std::make_unique<OriginState>(Origin{}, policy, 128, loop_.clock(), loop_.timers(), metrics_, 7);
    auto service = std::make_unique<ScriptedOrigin>(loop_);
    server_ = service.get();
    layers_ = MakeLayers({.executor = loop_.executor(), .random = random_, .metrics = metrics_, .max_queue = 100},
                         std::move(service));
  }
  std::unique_ptr<Fetch> Begin() {
    auto fetch = std::make_unique<Fetch>(*this);
    loop_.Start(layers_->Call(fetch->context), fetch->outcome);
    loop_.Poll();
    return fetch;
  }
  std::vector<std::unique_ptr<Fetch>> Begin(int n) {
    std::vector<std::unique_ptr<Fetch>> fetches;
    for (int i = 0; i < n; ++i) fetches.push_back(Begin());
    return fetches;
  }
  OriginBrain& brain() { return origin_->brain; }
  // Nobody is left inside, waiting or paid for.
  void ExpectEven() {
    EXPECT_EQ(server_->inside, 0);
    EXPECT_EQ(brain().gate.waiting(), 0u);
    EXPECT_EQ(brain().gate.concurrency().in_flight(), 0);
    EXPECT_EQ(brain().retry_budget.in_flight(), 0);
    EXPECT_EQ(metrics_.queue_waiting.value(), 0);
  }

  FakeClock clock_;
  Loop loop_{clock_};
  ThreadMetrics metrics_;
  Random random_{1};
  FetchSpec spec_;
  Duration total_ = seconds(30);
  std::unique_ptr<OriginState> origin_;
  ScriptedOrigin* server_ = nullptr;
  std::unique_ptr<Service> layers_;
};

TEST_F(LayersTest, WithoutRulesAFetchGoesStraightThrough) {
  Make({});
  auto fetch = Begin();
  ASSERT_TRUE(fetch->done());
  EXPECT_EQ(fetch->failure(), FailureCode{0});
  EXPECT_EQ(fetch->sink.head().status, 200);
  EXPECT_TRUE(fetch->trace.decisions.empty());
  ASSERT_EQ(fetch->trace.attempts.size(), 1u);
  EXPECT_EQ(fetch->trace.attempts[0].status, 200);
  EXPECT_TRUE(fetch->trace.attempts[0].peer.has_value());
  ExpectEven();
}

TEST_F(LayersTest, AnOpenCircuitSpendsNoTokens) {
  OriginPolicy policy;
  policy.rate_limit = {.per_second = 1, .burst = 1};
  Make(policy);
  brain().breaker.ForceOpen(clock_.Now());
  for (const auto& fetch : Begin(50)) {
    ASSERT_TRUE(fetch->done());
    EXPECT_EQ(fetch->failure(), FailureCode::kCircuitOpen);
    EXPECT_EQ(fetch->outcome->failure->processed, Processed::kNo);
    EXPECT_THAT(fetch->decisions(), testing::Contains("breaker refused"));
  }
  EXPECT_TRUE(server_->came.empty());
  brain().breaker.ForceClose();
  EXPECT_TRUE(Begin()->done()) << "the one token is still there";
  ExpectEven();
}

TEST_F(LayersTest, EachRetryPassesTheLimitsAnew) {
  OriginPolicy policy;
  policy.rate_limit = {.per_second = 1, .burst = 1};
  Make(policy);
  spec_.retry.initial_backoff = milliseconds(1);
  server_->answers = {{.status = 503}, {.status = 503}, {.status = 200}};
  auto fetch = Begin();
  for (int i = 0; i < 40 && !fetch->done(); ++i) loop_.Advance(milliseconds(100));
  ASSERT_TRUE(fetch->done());
  EXPECT_EQ(fetch->sink.head().status, 200);
  ASSERT_EQ(server_->came.size(), 3u);
  EXPECT_GE(server_->came[1] - server_->came[0], seconds(1));
  EXPECT_GE(server_->came[2] - server_->came[1], seconds(1));
  EXPECT_THAT(fetch->decisions(), testing::ElementsAre("retry retry", "rate_limit wait", "queue entered", "retry retry",
                                                       "rate_limit wait", "queue entered"));
  ExpectEven();
}

TEST_F(LayersTest, TheAttemptsTimeBeginsWhenTheWaitEnds) {
  OriginPolicy policy;
  policy.rate_limit = {.per_second = 0.5, .burst = 1};
  Make(policy);
  spec_.timeouts.attempt = seconds(1);
  auto first = Begin();
  server_->answers = {{.takes = milliseconds(900)}};
  auto second = Begin();
  loop_.Advance(seconds(2));
  EXPECT_FALSE(second->done());
  loop_.Advance(milliseconds(900));
  ASSERT_TRUE(second->done());
  EXPECT_EQ(second->failure(), FailureCode{0});
  EXPECT_EQ(second->context.record.phases.queue, seconds(2));
  ExpectEven();
}

TEST_F(LayersTest, AWaitThatCannotEndInTimeIsNotBegun) {
  OriginPolicy policy;
  policy.rate_limit = {.per_second = 1, .burst = 1};
  Make(policy);
  spec_.timeouts.queue = seconds(3);
  auto fetches = Begin(10);
  int refused = 0;
  for (const auto& fetch : fetches) {
    if (!fetch->done() || fetch->failure() == FailureCode{0}) continue;
    ++refused;
    EXPECT_EQ(fetch->failure(), FailureCode::kRateLimited);
    EXPECT_EQ(fetch->outcome->failure->phase, Phase::kQueue);
    ASSERT_TRUE(fetch->context.retry_at.has_value());
    EXPECT_GT(*fetch->context.retry_at, clock_.WallNow() + seconds(3));
  }
  EXPECT_EQ(refused, 6) << "one goes at once, three may wait 1, 2 and 3 s";
  for (int i = 0; i < 3; ++i) loop_.Advance(seconds(1));
  for (const auto& fetch : fetches) EXPECT_TRUE(fetch->done());
  EXPECT_EQ(server_->came.size(), 4u);
  ExpectEven();
}

TEST_F(LayersTest, WhoWaitsIsRefusedWhenTheCircuitOpens) {
  OriginPolicy policy;
  policy.concurrency.max = 2;
  policy.breaker.consecutive_failures = 2;
  Make(policy);
  spec_.retry.max_attempts = 1;
  server_->answers.assign(10, {.status = 0, .takes = seconds(1)});
  auto fetches = Begin(10);
  EXPECT_EQ(brain().gate.waiting(), 8u);
  loop_.Advance(seconds(1));
  for (size_t i = 0; i < fetches.size(); ++i) {
    ASSERT_TRUE(fetches[i]->done()) << i;
    if (i < 2) continue;
    EXPECT_EQ(fetches[i]->failure(), FailureCode::kCircuitOpen) << i;
  }
  // Nor does it go whom the pair let in as they left, before their failures opened the circuit.
  EXPECT_EQ(server_->came.size(), 2u);
  ExpectEven();
}

TEST_F(LayersTest, HalfOpenLetsExactlyTheTrialsThrough) {
  OriginPolicy policy;
  policy.breaker.consecutive_failures = 1;
  policy.breaker.trials = 3;
  Make(policy);
  spec_.retry.max_attempts = 1;
  server_->answers = {{.status = 500}};
  EXPECT_TRUE(Begin()->done());
  EXPECT_EQ(Begin()->failure(), FailureCode::kCircuitOpen);
  loop_.Advance(policy.breaker.open_time);
  server_->came.clear();
  server_->answers.assign(3, {.takes = seconds(1)});
  auto fetches = Begin(20);
  EXPECT_EQ(server_->came.size(), 3u);
  loop_.Advance(seconds(1));
  EXPECT_EQ(brain().breaker.state(clock_.Now()), BreakerState::kClosed);
  server_->came.clear();
  Begin(20);
  EXPECT_EQ(server_->came.size(), 20u);
  ExpectEven();
}

TEST_F(LayersTest, ACancelledTrialIsGivenBack) {
  OriginPolicy policy;
  policy.breaker.consecutive_failures = 1;
  policy.breaker.trials = 1;
  Make(policy);
  spec_.retry.max_attempts = 1;
  server_->answers = {{.status = 500}, {.takes = seconds(5)}};
  Begin();
  loop_.Advance(policy.breaker.open_time);
  auto trial = Begin();
  EXPECT_EQ(Begin()->failure(), FailureCode::kCircuitOpen);
  trial->scope.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  EXPECT_TRUE(trial->done());
  EXPECT_TRUE(Begin()->done());
  EXPECT_EQ(brain().breaker.state(clock_.Now()), BreakerState::kClosed);
  ExpectEven();
}

TEST_F(LayersTest, WhatTheOriginAsksOfOneHoldsForAll) {
  Make({});
  spec_.retry.max_attempts = 1;
  server_->answers = {{.status = 429, .retry_after = "3"}};
  auto told = Begin();
  ASSERT_TRUE(told->done());
  EXPECT_EQ(told->sink.head().status, 429) << "the real answer, not one of ours";
  EXPECT_THAT(told->decisions(), testing::Contains("hold learnt"));
  server_->came.clear();
  auto others = Begin(5);
  loop_.Advance(seconds(3) - milliseconds(1));
  EXPECT_TRUE(server_->came.empty());
  for (int i = 0; i < 100; ++i) loop_.Advance(milliseconds(100));
  EXPECT_EQ(server_->came.size() + 0u,
            static_cast<size_t>(std::count_if(others.begin(), others.end(), [](const auto& f) {
              return f->done() && f->failure() == FailureCode{0};
            })));
  EXPECT_GE(server_->came.size(), 2u);
  for (const auto& fetch : others) EXPECT_TRUE(fetch->done());
  ExpectEven();
}

TEST_F(LayersTest, AfterAFailureARefusalOfOursIsNotTheLastWord) {
  OriginPolicy policy;
  policy.breaker.consecutive_failures = 1;
  Make(policy);
  spec_.retry.initial_backoff = milliseconds(1);
  server_->answers = {{.status = 0}};
  auto fetch = Begin();
  loop_.Advance(milliseconds(1));
  ASSERT_TRUE(fetch->done());
  EXPECT_EQ(fetch->failure(), FailureCode::kConnectionTerminated);
  EXPECT_THAT(fetch->outcome->failure->detail, testing::HasSubstr("circuit"));
  EXPECT_EQ(server_->came.size(), 1u);

  brain().Reset(clock_.Now());
  server_->answers = {{.status = 503}};
  auto answered = Begin();
  loop_.Advance(milliseconds(1));
  ASSERT_TRUE(answered->done());
  EXPECT_EQ(answered->sink.head().status, 503);
  ExpectEven();
}

TEST_F(LayersTest, TheBudgetEndsRetriesForEverybody) {
  OriginPolicy policy;
  policy.breaker.enabled = false;
  policy.retry_budget = {.ratio = 0.2, .window = seconds(10), .min_concurrent = 0};
  Make(policy);
  spec_.retry = {.max_attempts = 3, .initial_backoff = milliseconds(1), .max_backoff = milliseconds(1)};
  server_->answers.assign(1000, {.status = 503});
  int no_budget = 0;
  for (int i = 0; i < 100; ++i) {
    auto fetch = Begin();
    for (int j = 0; j < 4; ++j) loop_.Advance(milliseconds(1));
    ASSERT_TRUE(fetch->done());
    const auto decisions = fetch->decisions();
    no_budget += static_cast<int>(std::count(decisions.begin(), decisions.end(), "retry no_budget"));
  }
  EXPECT_EQ(server_->came.size(), 120u);
  EXPECT_EQ(no_budget, 100 - 0) << "each fetch ended for want of it, at its first or at a later attempt";
  ExpectEven();
}

TEST_F(LayersTest, AHedgeWinsOverASlowAttempt) {
  Make({});
  spec_.hedge = {.enabled = true, .delay = milliseconds(50)};
  server_->answers = {{.status = 200, .takes = seconds(5)}, {.status = 201, .takes = milliseconds(20)}};
  auto fetch = Begin();
  loop_.Advance(milliseconds(49));
  EXPECT_EQ(server_->came.size(), 1u);
  loop_.Advance(milliseconds(1));
  EXPECT_EQ(server_->came.size(), 2u);
  loop_.Advance(milliseconds(20));
  ASSERT_TRUE(fetch->done());
  EXPECT_EQ(fetch->sink.head().status, 201);
  EXPECT_EQ(fetch->sink.heads(), 1);
  EXPECT_EQ(fetch->context.attempts, 2);
  EXPECT_THAT(fetch->decisions(), testing::ElementsAre("hedge started", "hedge won"));
  ASSERT_EQ(fetch->trace.attempts.size(), 2u);
  EXPECT_FALSE(fetch->trace.attempts[0].hedge);
  EXPECT_EQ(fetch->trace.attempts[0].failure, FailureCode::kCancelled);
  EXPECT_TRUE(fetch->trace.attempts[1].hedge);
  EXPECT_EQ(fetch->trace.attempts[1].status, 201);
  // The loser says nothing about the origin.
  EXPECT_EQ(brain().breaker.consecutive_failures(), 0);
  ExpectEven();
}

TEST_F(LayersTest, TheFirstAttemptMayWinAgainstItsHedge) {
  Make({});
  spec_.hedge = {.enabled = true, .delay = milliseconds(50)};
  server_->answers = {{.status = 200, .takes = milliseconds(60)}, {.status = 201, .takes = seconds(1)}};
  auto fetch = Begin();
  loop_.Advance(milliseconds(50));
  loop_.Advance(milliseconds(10));
  ASSERT_TRUE(fetch->done());
  EXPECT_EQ(fetch->sink.head().status, 200);
  EXPECT_THAT(fetch->decisions(), testing::ElementsAre("hedge started", "hedge lost"));
  ExpectEven();
}

TEST_F(LayersTest, OnlyWhatMayBeSentTwiceIsHedged) {
  Make({});
  spec_.method = "POST";
  spec_.hedge = {.enabled = true, .delay = milliseconds(50)};
  server_->answers = {{.takes = seconds(1)}};
  auto fetch = Begin();
  loop_.Advance(milliseconds(500));
  EXPECT_EQ(server_->came.size(), 1u);
  loop_.Advance(milliseconds(500));
  EXPECT_TRUE(fetch->done());
}

TEST_F(LayersTest, OneCallersFloodDoesNotStarveAnother) {
  OriginPolicy policy;
  policy.concurrency.max = 1;
  Make(policy);
  spec_.timeouts.queue = seconds(60);
  spec_.caller = "flood";
  server_->answers.assign(200, {.takes = milliseconds(10)});
  auto flood = Begin(50);
  spec_.caller = "other";
  auto other = Begin();
  for (int i = 0; i < 3; ++i) loop_.Advance(milliseconds(10));
  EXPECT_TRUE(other->done()) << "after the one inside, and one more of the flood at most";
  for (int i = 0; i < 60; ++i) loop_.Advance(milliseconds(10));
  for (const auto& fetch : flood) EXPECT_TRUE(fetch->done());
  EXPECT_EQ(server_->most_inside, 1);
  ExpectEven();
}

TEST_F(LayersTest, CallersHaveTheirOwnLimits) {
  OriginPolicy policy;
  policy.concurrency.per_caller = 2;
  Make(policy);
  server_->answers.assign(200, {.takes = seconds(1)});
  spec_.caller = "a";
  auto a = Begin(5);
  spec_.caller = "b";
  auto b = Begin(2);
  EXPECT_EQ(server_->came.size(), 4u);
  for (int i = 0; i < 3; ++i) loop_.Advance(seconds(1));
  for (const auto& fetch : a) EXPECT_TRUE(fetch->done());
  EXPECT_EQ(server_->came.size(), 7u);
  ExpectEven();
}

TEST_F(LayersTest, EachCallerHasItsOwnRate) {
  OriginPolicy policy;
  policy.caller_rate_limit = {.per_second = 2, .burst = 1};
  Make(policy);
  spec_.caller = "a";
  auto a = Begin(3);
  spec_.caller = "b";
  auto b = Begin();
  EXPECT_TRUE(b->done());
  EXPECT_EQ(server_->came.size(), 2u);
  EXPECT_THAT(a[1]->decisions(), testing::ElementsAre("caller_rate_limit wait"));
  loop_.Advance(milliseconds(500));
  EXPECT_EQ(server_->came.size(), 3u);
  loop_.Advance(milliseconds(500));
  EXPECT_EQ(server_->came.size(), 4u);
  for (const auto& fetch : a) EXPECT_TRUE(fetch->done());
  ExpectEven();
}

TEST_F(LayersTest, AnAddressThatIsLeftOutIsInTheTrace) {
  OriginPolicy policy;
  policy.breaker.enabled = false;
  policy.outlier.consecutive_failures = 3;
  Make(policy);
  spec_.retry.max_attempts = 1;
  for (int i = 0; i < 3; ++i) {
    server_->answers = {{.status = 0}};
    brain().OnResult(IpAddress::V4({192, 0, 2, 2}), true, clock_.Now());
    auto fetch = Begin();
    EXPECT_EQ(fetch->failure(), FailureCode::kConnectionTerminated);
    if (i == 2) break;
    EXPECT_THAT(fetch->decisions(), testing::Not(testing::Contains("outlier left_out")));
  }
  auto fetch = Begin();
  EXPECT_THAT(fetch->decisions(), testing::Contains("outlier left_out"));
  EXPECT_EQ(fetch->trace.decisions.back().detail, "192.0.2.1");
}

// A fetch that meets all there is to wait for: the gate, an attempt that is slow and hedged, a backoff, a hold. It is
// cancelled after each of its steps in turn.
TEST_F(LayersTest, CancelledAtEveryAwaitItLeavesNothingBehind) {
  int steps = 0;
  for (int cancel_at = 0;; ++cancel_at) {
    OriginPolicy policy;
    policy.rate_limit = {.per_second = 5, .burst = 1};
    policy.concurrency.max = 2;
    policy.concurrency.per_caller = 2;
    policy.breaker.consecutive_failures = 3;
    Make(policy);
    spec_.hedge = {.enabled = true, .delay = milliseconds(30)};
    spec_.retry.initial_backoff = milliseconds(100);
    server_->answers = {{.status = 200},
                        {.status = 503, .takes = milliseconds(400)},
                        {.status = 0, .takes = seconds(1)},
                        {.status = 429, .retry_after = "1"},
                        {.status = 200, .takes = milliseconds(10)}};
    Begin();
    auto fetch = Begin();
    int step = 0;
    for (; !fetch->done() && step < 5000; ++step) {
      if (step == cancel_at) fetch->scope.Cancel(FailureCode::kCancelled);
      if (step >= cancel_at) {
        loop_.Poll();
        break;
      }
      loop_.Advance(milliseconds(5));
    }
    if (step >= cancel_at) {
      EXPECT_TRUE(fetch->done()) << "cancelled at step " << cancel_at;
      ExpectEven();
      EXPECT_EQ(fetch->failure(), FailureCode::kCancelled) << cancel_at;
    } else {
      steps = step;
      ExpectEven();
      break;
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(steps, 50) << "it was on its way for a while";
}

}  // namespace
}  // namespace fetchd::server
