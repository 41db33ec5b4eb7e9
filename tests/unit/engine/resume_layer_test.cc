#include "engine/layers/resume_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/layers/retry_layer.h"
#include "engine/origin_state.h"
#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kWhole = "The quick brown fox jumps over the lazy dog.";

Failure Break(FailureCode code = FailureCode::kHttpResponseIncomplete) {
  return {.code = code, .phase = Phase::kReceive, .processed = Processed::kYes, .detail = "broken"};
}

// What the origin does with one request.
struct Answer {
  // 0: no response.
  int status = 200;
  Fields fields = {{"etag", "\"v1\""}};
  // Said with the head; unset: not known.
  std::optional<uint64_t> length = kWhole.size();
  std::string body = std::string(kWhole);
  // After the body.
  std::optional<Failure> failure = {};
  Duration takes = {};
};

// The whole, which breaks off after `n` bytes.
Answer Cut(size_t n) { return {.body = std::string(kWhole.substr(0, n)), .failure = Break()}; }

// The rest from `from`, which breaks off before `to`.
Answer Rest(size_t from, size_t to = kWhole.size()) {
  Answer answer;
  answer.status = 206;
  answer.fields.emplace_back(
      "content-range",
      "bytes " + std::to_string(from) + "-" + std::to_string(kWhole.size() - 1) + "/" + std::to_string(kWhole.size()));
  answer.length = kWhole.size() - from;
  answer.body = kWhole.substr(from, to - from);
  if (to < kWhole.size()) answer.failure = Break();
  return answer;
}

// Answers as an exchange would: by the sink's credit, the body limit, and until the sink refuses.
class PlannedOrigin final : public Service {
 public:
  explicit PlannedOrigin(FakeClock& clock) : clock_(clock) {}
  std::function<Answer(size_t, const FetchSpec&)> plan;
  std::vector<std::string> ranges, if_ranges;

  Task<AttemptOutcome> Call(FetchContext& context) override {
    ranges.emplace_back(context.spec.headers.Find("range").value_or(""));
    if_ranges.emplace_back(context.spec.headers.Find("if-range").value_or(""));
    const Answer answer = plan(ranges.size() - 1, context.spec);
    clock_.Advance(answer.takes);
    context.now = clock_.Now();
    context.request_bytes += 1;
    AttemptOutcome outcome;
    if (answer.status != 0) Respond(context, answer, outcome);
    if (!outcome.failure) outcome.failure = answer.failure;
    co_return outcome;
  }

 private:
  void Respond(FetchContext& context, const Answer& answer, AttemptOutcome& outcome) {
    ResponseHead head{.status = answer.status, .headers = {}, .content_length = answer.length, .redirects = nullptr};
    for (const auto& [name, value] : answer.fields) head.headers.Add(name, value);
    context.record.status = answer.status;
    ResponseSink& sink = context.judge->OnHead(head);
    sink.OnHead(std::move(head));
    uint64_t budget = sink.BytesFor(context.spec.body_limit.max_bytes);
    std::string_view left = answer.body;
    for (;;) {
      if (const Failure* refusal = sink.refusal()) {
        outcome.failure = *refusal;
        return;
      }
      if (left.empty()) return;
      if (budget == 0) {
        outcome.truncated = context.spec.body_limit.truncate;
        if (!outcome.truncated) outcome.failure = Break(FailureCode::kHttpResponseBodySize);
        return;
      }
      const std::span<char> room = sink.Prepare(std::min<uint64_t>(left.size(), budget));
      if (room.empty()) continue;
      const size_t n = std::min<uint64_t>({room.size(), left.size(), budget});
      left.copy(room.data(), n);
      sink.Commit(n);
      left.remove_prefix(n);
      budget -= n;
      outcome.response_bytes += n;
    }
  }

  FakeClock& clock_;
};

// The caller's side.
class Caller final : public ResponseSink {
 public:
  explicit Caller(Executor executor) : memory(std::move(executor)) {}
  void OnHead(ResponseHead head) override { memory.OnHead(std::move(head)); }
  std::span<char> Prepare(size_t want) override { return memory.Prepare(want); }
  void Commit(size_t n) override {
    memory.Commit(n);
    if (memory.body().size() >= refuse_at) refused_ = Break(FailureCode::kHttpProtocolError);
  }
  Event& Writable() override { return memory.Writable(); }
  void OnResumed(uint64_t offset) override { resumed.push_back(offset); }
  const Failure* refusal() const override { return refused_ ? &*refused_ : nullptr; }

  MemorySink memory;
  std::vector<uint64_t> resumed;
  size_t refuse_at = SIZE_MAX;

 private:
  std::optional<Failure> refused_;
};

class ResumeLayerTest : public testing::Test {
 protected:
  ResumeLayerTest() {
    auto origin = std::make_unique<PlannedOrigin>(clock_);
    planned_ = origin.get();
    auto retry = std::make_unique<RetryLayer>(std::move(origin), loop_.executor(), random_, metrics_);
    layer_ = std::make_unique<ResumeLayer>(std::move(retry), loop_.executor(), random_, metrics_);
  }

  AttemptOutcome Run(const std::vector<Answer>& answers) {
    planned_->plan = [answers](size_t i, const FetchSpec&) { return answers.at(i); };
    return RunPlan();
  }
  AttemptOutcome RunPlan() {
    planned_->ranges.clear();
    planned_->if_ranges.clear();
    sink_ = std::make_unique<Caller>(loop_.executor());
    sink_->refuse_at = refuse_at_;
    scope_ = std::make_unique<CancelScope>(loop_.clock(), loop_.timers(), After(clock_.Now(), total_),
                                           FailureCode::kTotalTimeout);
    trace_ = std::make_unique<Trace>(clock_.Now());
    context_ = std::make_unique<FetchContext>(spec_, body_, *sink_, origin_, *scope_);
    context_->now = clock_.Now();
    context_->trace = trace_.get();
    std::optional<AttemptOutcome> outcome;
    loop_.Start(layer_->Call(*context_), outcome);
    loop_.Poll();
    for (int i = 0; i < 1000 && !outcome; ++i) {
      if (i == cancel_after_) scope_->Cancel(FailureCode::kCancelled);
      loop_.Advance(milliseconds(50));
    }
    EXPECT_TRUE(outcome.has_value());
    EXPECT_EQ(origin_.brain.retry_budget.in_flight(), 0);
    EXPECT_LE(sink_->memory.heads(), 1);
    // Nothing wrong ever reaches the caller.
    EXPECT_EQ(sink_->memory.body(), kWhole.substr(0, sink_->memory.body().size()));
    EXPECT_EQ(outcome->response_bytes, sink_->memory.body().size());
    return std::move(*outcome);
  }
  std::string Body() const { return sink_->memory.body(); }
  std::vector<std::string> Verdicts() const {
    std::vector<std::string> result;
    for (const DecisionTrace& d : trace_->decisions)
      if (d.rule == "resume") result.emplace_back(d.verdict);
    return result;
  }

  FakeClock clock_;
  Loop loop_{clock_};
  ThreadMetrics metrics_;
  Random random_{1};
  FetchSpec spec_;
  RequestBody* body_ = nullptr;
  size_t refuse_at_ = SIZE_MAX;
  Duration total_ = seconds(30);
  int cancel_after_ = -1;
  OriginState origin_{Origin{}, {}, 128, loop_.clock(), loop_.timers(), metrics_, 1};
  PlannedOrigin* planned_;
  std::unique_ptr<ResumeLayer> layer_;
  std::unique_ptr<Caller> sink_;
  std::unique_ptr<CancelScope> scope_;
  std::unique_ptr<Trace> trace_;
  std::unique_ptr<FetchContext> context_;
};

TEST_F(ResumeLayerTest, AWholeResponseIsNotTouched) {
  AttemptOutcome outcome = Run({Answer{}});
  EXPECT_FALSE(outcome.failure);
  EXPECT_EQ(Body(), kWhole);
  EXPECT_THAT(planned_->ranges, ElementsAre(""));
  EXPECT_THAT(Verdicts(), IsEmpty());
  EXPECT_EQ(context_->attempts, 1);
}

TEST_F(ResumeLayerTest, ABrokenOneGoesOnWhereItStopped) {
  AttemptOutcome outcome = Run({Cut(10), Rest(10)});
  EXPECT_FALSE(outcome.failure);
  EXPECT_EQ(Body(), kWhole);
  EXPECT_EQ(sink_->memory.head().status, 200);
  EXPECT_THAT(planned_->ranges, ElementsAre("", "bytes=10-"));
  EXPECT_THAT(planned_->if_ranges, ElementsAre("", "\"v1\""));
  EXPECT_THAT(sink_->resumed, ElementsAre(10));
  EXPECT_THAT(Verdicts(), ElementsAre("resume", "resumed"));
  EXPECT_EQ(context_->attempts, 2);
  EXPECT_EQ(context_->status, 200);
  EXPECT_EQ(context_->request_bytes, 2U);
  EXPECT_EQ(metrics_.attempts[0].value(), 1);
  EXPECT_EQ(metrics_.attempts[2].value(), 1);
  EXPECT_EQ(metrics_.resumes.value(), 1);
  EXPECT_EQ(metrics_.resumed.value(), 1);
}

TEST_F(ResumeLayerTest, CutAtAnyByteOnceOrTwiceItIsTheWhole) {
  for (const bool known : {true, false}) {
    for (size_t first = 0; first < kWhole.size(); ++first) {
      for (size_t second = first; second <= kWhole.size(); ++second) {
        std::vector<Answer> answers = {Cut(first), Rest(first, second), Rest(second)};
        if (second == kWhole.size()) answers.pop_back();
        if (!known)
          for (Answer& answer : answers) answer.length = std::nullopt;
        origin_.brain.retry_budget.Reset();
        AttemptOutcome outcome = Run(answers);
        ASSERT_FALSE(outcome.failure) << first << " " << second;
        ASSERT_EQ(Body(), kWhole);
        ASSERT_EQ(context_->attempts, static_cast<int>(answers.size()));
        ASSERT_EQ(sink_->resumed.size(), answers.size() - 1);
      }
    }
  }
}

TEST_F(ResumeLayerTest, AllKindsOfBreaksAreResumed) {
  using enum FailureCode;
  for (const FailureCode code :
       {kHttpResponseIncomplete, kConnectionTerminated, kConnectionReadTimeout, kMinRateTimeout, kAttemptTimeout}) {
    Answer broken = Cut(7);
    broken.failure = Break(code);
    EXPECT_FALSE(Run({broken, Rest(7)}).failure) << ToString(code);
  }
  for (const FailureCode code :
       {kHttpProtocolError, kHttpResponseBodySize, kHttpResponseTrailerSectionSize, kInternal}) {
    Answer broken = Cut(7);
    broken.failure = Break(code);
    AttemptOutcome outcome = Run({broken});
    ASSERT_TRUE(outcome.failure);
    EXPECT_EQ(outcome.failure->code, code);
    EXPECT_EQ(outcome.failure->detail, "broken");
  }
}

TEST_F(ResumeLayerTest, OnlyWhatMayBeResumedIs) {
  const auto stays_broken = [&](Answer broken, std::vector<std::string> verdicts) {
    AttemptOutcome outcome = Run({broken});
    ASSERT_TRUE(outcome.failure);
    EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseIncomplete);
    EXPECT_EQ(Verdicts(), verdicts);
    EXPECT_EQ(context_->attempts, 1);
    EXPECT_EQ(Body().size(), broken.body.size());
  };
  const FetchSpec plain = spec_;
  Answer broken = Cut(5);
  broken.fields = {{"etag", "W/\"v1\""}};
  stays_broken(broken, {"no_validator"});
  broken.fields = {{"last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"}};
  stays_broken(broken, {"no_validator"});
  broken.fields = {{"etag", "\"v1\""}, {"accept-ranges", "none"}};
  stays_broken(broken, {"no_validator"});
  broken = Cut(5);
  broken.status = 404;
  stays_broken(broken, {});
  broken = Cut(kWhole.size());
  stays_broken(broken, {"nothing_left"});
  spec_.headers.Add("range", "bytes=0-100");
  stays_broken(Cut(5), {"own_range"});
  spec_ = plain;
  spec_.method = "POST";
  stays_broken(Cut(5), {});
  spec_ = plain;
  spec_.body = "x";
  stays_broken(Cut(5), {});
  spec_ = plain;
  spec_.retry.resume = false;
  stays_broken(Cut(5), {});
  spec_ = plain;
  spec_.retry.max_attempts = 1;
  stays_broken(Cut(5), {});
  spec_ = plain;
  MemoryRequestBody body(loop_.executor(), 0);
  body_ = &body;
  stays_broken(Cut(5), {});
}

TEST_F(ResumeLayerTest, WhatIsNotTheRestNeverReachesTheCaller) {
  Answer whole;
  Answer other_etag = Rest(10);
  other_etag.fields[0].second = "\"v2\"";
  Answer other_place = Rest(11);
  Answer too_much = Rest(10);
  too_much.length = std::nullopt;
  too_much.body += "more";
  Answer parts = Rest(10);
  parts.fields = {{"etag", "\"v1\""}, {"content-type", "multipart/byteranges; boundary=x"}};
  const std::pair<Answer, const char*> rows[] = {
      {whole, "changed"}, {other_etag, "changed"}, {other_place, "mismatch"}, {parts, "mismatch"}};
  for (const auto& [answer, verdict] : rows) {
    AttemptOutcome outcome = Run({Cut(10), answer});
    ASSERT_TRUE(outcome.failure);
    EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseIncomplete);
    EXPECT_THAT(outcome.failure->detail, HasSubstr("broken; not resumed at byte 10: "));
    EXPECT_EQ(Body(), kWhole.substr(0, 10));
    EXPECT_THAT(Verdicts(), ElementsAre("resume", verdict));
    EXPECT_THAT(sink_->resumed, IsEmpty());
    EXPECT_EQ(context_->attempts, 2);
    EXPECT_EQ(context_->status, 200);
  }
  AttemptOutcome outcome = Run({Cut(10), too_much});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseIncomplete);
  EXPECT_EQ(Body(), kWhole);
}

TEST_F(ResumeLayerTest, ARestThatEndsEarlyIsResumedInTurn) {
  Answer shorter = Rest(10, 20);
  shorter.length = std::nullopt;
  shorter.failure = std::nullopt;
  EXPECT_FALSE(Run({Cut(10), shorter, Rest(20)}).failure);
  EXPECT_EQ(Body(), kWhole);
  EXPECT_THAT(planned_->ranges, ElementsAre("", "bytes=10-", "bytes=20-"));
}

TEST_F(ResumeLayerTest, AttemptsAreCountedInAll) {
  AttemptOutcome outcome = Run({Cut(10), Rest(10, 20), Rest(20, 30)});
  ASSERT_TRUE(outcome.failure);
  EXPECT_THAT(outcome.failure->detail, HasSubstr("no_attempts_left"));
  EXPECT_EQ(Body(), kWhole.substr(0, 30));
  EXPECT_EQ(context_->attempts, 3);

  // One was spent before the response began.
  const Answer refused{.status = 0,
                       .failure = Failure{.code = FailureCode::kConnectionRefused,
                                          .phase = Phase::kConnect,
                                          .processed = Processed::kNo,
                                          .detail = "nobody there"}};
  outcome = Run({refused, Cut(10), Rest(10, 20)});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(context_->attempts, 3);
  EXPECT_EQ(Body(), kWhole.substr(0, 20));

  // And those before the rest begins.
  outcome = Run({Cut(10), refused, Rest(10)});
  EXPECT_FALSE(outcome.failure);
  EXPECT_EQ(context_->attempts, 3);
  outcome = Run({Cut(10), refused, refused});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseIncomplete);
  EXPECT_THAT(outcome.failure->detail, HasSubstr("nobody there"));
  EXPECT_THAT(Verdicts(), ElementsAre("resume", "failed"));
  spec_.retry.max_attempts = 10;
  const Answer busy{.status = 503, .fields = {}, .length = 4, .body = "busy"};
  outcome = Run({Cut(10), busy, Rest(10, 11), busy, busy, Rest(11)});
  EXPECT_FALSE(outcome.failure);
  EXPECT_EQ(Body(), kWhole);
  EXPECT_EQ(context_->attempts, 6);
}

TEST_F(ResumeLayerTest, TheLastAnswerThatIsNoneStaysAside) {
  const Answer busy{.status = 503, .fields = {}, .length = 4, .body = "busy"};
  AttemptOutcome outcome = Run({Cut(10), busy, busy});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseIncomplete);
  EXPECT_THAT(outcome.failure->detail, HasSubstr("503"));
  EXPECT_EQ(Body(), kWhole.substr(0, 10));
  EXPECT_EQ(context_->attempts, 3);
}

TEST_F(ResumeLayerTest, IsPaidFromTheBudget) {
  origin_.brain.retry_budget.SetOptions({.ratio = 0, .min_concurrent = 0});
  AttemptOutcome outcome = Run({Cut(10)});
  ASSERT_TRUE(outcome.failure);
  EXPECT_THAT(Verdicts(), ElementsAre("no_budget"));
  origin_.brain.retry_budget.SetOptions({.ratio = 0, .min_concurrent = 1});
  EXPECT_FALSE(Run({Cut(10), Rest(10)}).failure);
}

TEST_F(ResumeLayerTest, ABackoffThatDoesNotFitIsNotBegun) {
  spec_.retry.jitter = Jitter::kNone;
  spec_.retry.initial_backoff = spec_.retry.max_backoff = seconds(40);
  AttemptOutcome outcome = Run({Cut(10)});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseIncomplete);
  EXPECT_THAT(Verdicts(), ElementsAre("does_not_fit"));
}

TEST_F(ResumeLayerTest, TheEndOfTheFetchIsItsEnd) {
  spec_.retry.jitter = Jitter::kNone;
  spec_.retry.initial_backoff = spec_.retry.max_backoff = seconds(5);
  cancel_after_ = 3;
  AttemptOutcome outcome = Run({Cut(10)});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kCancelled);
  EXPECT_EQ(context_->attempts, 1);

  cancel_after_ = -1;
  total_ = seconds(8);
  Answer late{.status = 0, .failure = Break(FailureCode::kTotalTimeout), .takes = seconds(4)};
  outcome = Run({Cut(10), late});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kTotalTimeout);
  EXPECT_EQ(outcome.failure->processed, Processed::kYes);
  EXPECT_THAT(outcome.failure->detail, HasSubstr("before that: broken"));
}

TEST_F(ResumeLayerTest, BodyLimitsHoldForTheWhole) {
  for (const size_t limit : {size_t{9}, size_t{10}, size_t{11}, kWhole.size() - 1, kWhole.size()}) {
    for (const bool truncate : {false, true}) {
      spec_.body_limit = {.max_bytes = limit, .truncate = truncate};
      Answer first = Cut(std::min<size_t>(10, limit)), rest = Rest(std::min<size_t>(10, limit));
      first.length = rest.length = std::nullopt;
      AttemptOutcome outcome = Run({first, rest});
      EXPECT_EQ(Body(), kWhole.substr(0, limit)) << limit;
      EXPECT_EQ(outcome.truncated, truncate && limit < kWhole.size()) << limit;
      EXPECT_EQ(outcome.failure.has_value(), !truncate && limit < kWhole.size()) << limit;
      if (!outcome.failure) continue;
      EXPECT_EQ(outcome.failure->code, FailureCode::kHttpResponseBodySize);
    }
  }
}

TEST_F(ResumeLayerTest, WhatTheCallersSinkRefusesIsNotResumed) {
  refuse_at_ = 20;
  AttemptOutcome outcome = Run({Cut(10), Rest(10)});
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->code, FailureCode::kHttpProtocolError);
  EXPECT_EQ(context_->attempts, 2);
}

}  // namespace
}  // namespace fetchd::server
