#include "fetch/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/text.h"
#include "fetch/admission.h"
#include "rpc/batch_outbox.h"
#include "support/loop.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Keeps fetches until the test answers them, by the item's index (in the id).
class ManualStarter final : public FetchStarter {
 public:
  absl::Status CheckUrl(const Url&) const override { return absl::OkStatus(); }
  void Start(std::shared_ptr<FetchCall> call) override {
    const size_t index = *ParseDecimal<size_t>(call->spec.id);
    most = std::max(most, running.size() + 1);
    if (answer_at_once) return Answer(std::move(call), 1, std::nullopt);
    running.emplace(index, std::move(call));
  }
  void Cancel(const std::shared_ptr<FetchCall>& call) override {
    const size_t index = *ParseDecimal<size_t>(call->spec.id);
    if (running.erase(index) > 0) Answer(call, 0, FailureCode::kCancelled);
  }
  void Finish(size_t index, size_t body = 1, std::optional<FailureCode> failure = std::nullopt) {
    auto node = running.extract(index);
    ASSERT_FALSE(node.empty()) << index << " is not running";
    Answer(std::move(node.mapped()), body, failure);
  }
  std::vector<size_t> Running() const {
    std::vector<size_t> indexes;
    for (const auto& [index, call] : running) indexes.push_back(index);
    return indexes;
  }

  std::map<size_t, std::shared_ptr<FetchCall>> running;
  size_t most = 0;
  bool answer_at_once = false;
  std::optional<Executor> owner;

 private:
  void Answer(std::shared_ptr<FetchCall> call, size_t body, std::optional<FailureCode> failure) {
    call->OnStart(*owner);
    Outcome outcome;
    if (failure) {
      outcome.failure = Failure{*failure, Phase::kWait, Processed::kMaybe, "as the test wants it"};
    } else {
      call->OnHead({.status = 200, .headers = {}, .content_length = body, .redirects = nullptr});
      for (size_t left = body; left > 0;) {
        const auto room = call->Prepare(left);
        call->Commit(room.size());
        left -= room.size();
      }
    }
    call->OnDone(std::move(outcome));
  }
};

class BatchTest : public ::testing::Test, public BatchSource, public BatchReceiver {
 protected:
  BatchTest() { starter_.owner = loop_.executor(); }

  void Start(BatchSpec spec, size_t max_message_bytes = BatchOutbox::kMaxMessageBytes) {
    outbox_.emplace(spec.input_order, max_message_bytes);
    batch_ = std::make_shared<BatchFetch>(spec, *this, starter_, clock_, loop_.executor(), *this);
    batch_->Start();
    loop_.Poll();
  }
  std::variant<FetchSpec, ItemFailure> Read(size_t index) override {
    EXPECT_EQ(index, read_++) << "items are read in order, once";
    if (index == malformed_) {
      return ItemFailure{"id", "", {FailureCode::kRequestInvalid, Phase::kPolicy, Processed::kNo, "malformed"}};
    }
    FetchSpec spec;
    spec.id = std::to_string(index);
    spec.url = *Url::Parse(Concat("http://h/", index));
    return spec;
  }
  void OnResult(size_t index, std::string_view fetch_id, Collected* fetched) override {
    EXPECT_FALSE(ended_);
    outbox_->Add(index, fetch_id, fetched);
  }
  size_t unsent_bytes() const override { return outbox_->bytes(); }
  bool Send(bool all) override {
    EXPECT_TRUE(allowed_) << "a message before the one before was taken";
    std::optional<grpc::ByteBuffer> bytes = outbox_->Take();
    if (!bytes) return false;
    EXPECT_FALSE(last_);
    allowed_ = false;
    last_ = all && outbox_->bytes() == 0;
    v1::FetchBatchResponse message;
    EXPECT_TRUE(ParseMessage(*bytes, message));
    EXPECT_GT(message.results_size(), 0);
    std::vector<size_t> indexes;
    for (const v1::BatchResult& result : message.results()) {
      indexes.push_back(result.index());
      EXPECT_TRUE(results_.emplace(result.index(), result).second) << "two results for one index";
    }
    messages_.push_back(indexes);
    return true;
  }
  void OnEnd(std::optional<ItemFailure> broken) override {
    EXPECT_FALSE(ended_);
    ended_ = true;
    broken_ = std::move(broken);
  }
  // The caller takes the message.
  void Take() {
    allowed_ = true;
    batch_->CallerReady();
    loop_.Poll();
  }
  void Finish(size_t index, size_t body = 1, std::optional<FailureCode> failure = std::nullopt) {
    starter_.Finish(index, body, failure);
  }
  std::vector<size_t> Skipped() const {
    std::vector<size_t> skipped;
    for (const auto& [index, result] : results_)
      if (result.has_skipped()) skipped.push_back(index);
    return skipped;
  }

  FakeClock clock_;
  Loop loop_{clock_};
  ManualStarter starter_;
  std::optional<BatchOutbox> outbox_;
  std::shared_ptr<BatchFetch> batch_;
  std::optional<size_t> malformed_;
  size_t read_ = 0;
  bool allowed_ = true;
  bool last_ = false;
  bool ended_ = false;
  std::optional<ItemFailure> broken_;
  std::map<size_t, v1::BatchResult> results_;
  std::vector<std::vector<size_t>> messages_;
};

TEST_F(BatchTest, SendsResultsAsTheyCompleteAndThoseReadyTogetherInOneMessage) {
  Start({.items = 5, .max_concurrency = 5});
  Finish(3);
  Finish(1);
  loop_.Poll();
  EXPECT_THAT(messages_, ElementsAre(ElementsAre(3, 1)));
  // The caller has not taken it: what comes now waits.
  Finish(4);
  loop_.Poll();
  Finish(0);
  loop_.Poll();
  EXPECT_EQ(messages_.size(), 1U);
  Take();
  EXPECT_THAT(messages_.back(), ElementsAre(4, 0));
  Take();
  Finish(2);
  loop_.Poll();
  EXPECT_TRUE(last_);
  EXPECT_FALSE(ended_);
  Take();
  EXPECT_TRUE(ended_);
  EXPECT_EQ(results_.size(), 5U);
}

TEST_F(BatchTest, KeepsTheInputOrderIfAsked) {
  Start({.items = 4, .input_order = true, .max_concurrency = 4});
  Finish(2);
  Finish(1);
  loop_.Poll();
  EXPECT_THAT(messages_, IsEmpty());
  Finish(0);
  loop_.Poll();
  EXPECT_THAT(messages_, ElementsAre(ElementsAre(0, 1, 2)));
  Take();
  Finish(3);
  loop_.Poll();
  EXPECT_THAT(messages_.back(), ElementsAre(3));
}

TEST_F(BatchTest, HasAtMostMaxConcurrencyInFlight) {
  Start({.items = 10, .max_concurrency = 3});
  EXPECT_THAT(starter_.Running(), ElementsAre(0, 1, 2));
  Finish(1);
  loop_.Poll();
  EXPECT_THAT(starter_.Running(), ElementsAre(0, 2, 3));
  while (!ended_) {
    if (!starter_.running.empty()) Finish(starter_.running.begin()->first);
    Take();
  }
  EXPECT_EQ(starter_.most, 3U);
  EXPECT_EQ(results_.size(), 10U);
}

TEST_F(BatchTest, FailFastCancelsTheOthersAndSaysSkipped) {
  Start({.items = 6, .fail_fast = true, .max_concurrency = 3});
  Finish(0);
  loop_.Poll();
  Finish(2, 0, FailureCode::kConnectionRefused);
  loop_.Poll();
  EXPECT_THAT(starter_.Running(), IsEmpty());
  while (!ended_) Take();
  EXPECT_EQ(results_.size(), 6U);
  EXPECT_THAT(Skipped(), ElementsAre(1, 3, 4, 5));
  EXPECT_EQ(results_[2].fetch().error().code(), v1::CONNECTION_REFUSED);
  EXPECT_EQ(read_, 4U) << "items after the failure are not even read";
}

TEST_F(BatchTest, AMalformedItemFailsAloneOrFast) {
  malformed_ = 1;
  Start({.items = 3, .max_concurrency = 3});
  EXPECT_THAT(messages_, ElementsAre(ElementsAre(1)));
  EXPECT_THAT(starter_.Running(), ElementsAre(0, 2));
  Finish(0);
  Finish(2);
  while (!ended_) Take();
  EXPECT_THAT(Skipped(), IsEmpty());
  EXPECT_EQ(results_[1].fetch().fetch_id(), "id");
  EXPECT_EQ(results_[1].fetch().error().code(), v1::REQUEST_INVALID);
}

TEST_F(BatchTest, AMalformedItemFailsFastIfAsked) {
  malformed_ = 1;
  Start({.items = 3, .fail_fast = true, .max_concurrency = 3});
  while (!ended_) Take();
  EXPECT_THAT(Skipped(), ElementsAre(0, 2));
}

TEST_F(BatchTest, BeginsNothingWhileTooMuchWaitsForTheCaller) {
  Start({.items = 100, .max_concurrency = 2, .max_unsent_bytes = 5000}, 3000);
  // One message is on its way to the caller; two more results fill what may wait.
  for (int i = 0; i < 3; ++i) {
    Finish(i, 2500);
    loop_.Poll();
  }
  EXPECT_THAT(starter_.Running(), ElementsAre(3));
  Finish(3, 2500);
  loop_.Poll();
  EXPECT_THAT(starter_.Running(), IsEmpty());
  EXPECT_EQ(read_, 4U);
  // Room again.
  Take();
  EXPECT_THAT(messages_.back(), ElementsAre(1)) << "messages stay small";
  Take();
  EXPECT_THAT(starter_.Running(), ElementsAre(4, 5));
  batch_->Cancel();
  loop_.Poll();
}

TEST_F(BatchTest, ResultsWaitingForTheirTurnDoNotStopTheOneThatIsAwaited) {
  Start({.items = 4, .input_order = true, .max_concurrency = 2, .max_unsent_bytes = 1000});
  Finish(1, 5000);
  loop_.Poll();
  EXPECT_THAT(starter_.Running(), ElementsAre(0));
  Finish(0);
  loop_.Poll();
  EXPECT_THAT(messages_, ElementsAre(ElementsAre(0, 1)));
  EXPECT_THAT(starter_.Running(), ElementsAre(2, 3));
  batch_->Cancel();
  loop_.Poll();
}

TEST_F(BatchTest, CancelAbortsAllAndReportsNothingMore) {
  Start({.items = 10, .max_concurrency = 4});
  batch_->Cancel();
  batch_->Cancel();
  loop_.Poll();
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(broken_);
  EXPECT_THAT(starter_.Running(), IsEmpty());
  EXPECT_THAT(messages_, IsEmpty());
  EXPECT_EQ(read_, 4U);
}

TEST_F(BatchTest, ItemsNotBegunByTheDeadlineTimeOutInBand) {
  Start({.items = 3, .max_concurrency = 1, .deadline = clock_.Now() + std::chrono::seconds(1)});
  clock_.Advance(std::chrono::seconds(1));
  Finish(0, 0, FailureCode::kTotalTimeout);
  loop_.Poll();
  while (!ended_) Take();
  ASSERT_EQ(results_.size(), 3U);
  for (size_t i : {1, 2}) {
    EXPECT_EQ(results_[i].fetch().error().code(), v1::TOTAL_TIMEOUT);
    EXPECT_EQ(results_[i].fetch().error().processed(), v1::PROCESSED_NO);
  }
}

TEST_F(BatchTest, AnItemWithoutVerdictEndsTheBatch) {
  Start({.items = 5, .max_concurrency = 2});
  Finish(1, 0, FailureCode::kInternal);
  loop_.Poll();
  EXPECT_TRUE(ended_);
  ASSERT_TRUE(broken_);
  EXPECT_EQ(broken_->fetch_id, "1");
  EXPECT_EQ(broken_->failure.code, FailureCode::kInternal);
}

TEST_F(BatchTest, SurvivesFetchesThatEndInsideStart) {
  starter_.answer_at_once = true;
  Start({.items = 1000, .max_concurrency = 10});
  while (!ended_) Take();
  EXPECT_EQ(results_.size(), 1000U);
  EXPECT_LT(messages_.size(), 500U) << "results that are ready together travel together";
}

TEST_F(BatchTest, CollectsBodiesOfAnySize) {
  Start({.items = 3, .max_concurrency = 3});
  Finish(0, 0);
  Finish(1, 100'000);
  Finish(2, 3'000'000);
  loop_.Poll();
  while (!ended_) Take();
  EXPECT_EQ(results_[0].fetch().response().body().size(), 0U);
  EXPECT_EQ(results_[1].fetch().response().body().size(), 100'000U);
  EXPECT_EQ(results_[2].fetch().response().body().size(), 3'000'000U);
}

TEST(AdmissionTest, RefusesBeyondTheLimitAndGivesBack) {
  Admission admission({.max_in_flight = 3});
  Admission::Permit one, two, three;
  EXPECT_EQ(admission.Admit({.fetches = 2}, one), Admission::Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit({.fetches = 2}, two), Admission::Verdict::kTooMany);
  EXPECT_FALSE(two);
  EXPECT_EQ(admission.Admit({.fetches = 1}, two), Admission::Verdict::kAdmitted);
  EXPECT_EQ(admission.in_flight(), 3);
  one = {};
  EXPECT_EQ(admission.in_flight(), 1);
  two = {};
  EXPECT_EQ(admission.Admit({.fetches = 100}, three), Admission::Verdict::kAdmitted) << "alone, anything is let in";
  three = {};
  admission.StartDraining();
  EXPECT_EQ(admission.Admit({.fetches = 1}, one), Admission::Verdict::kDraining);
  EXPECT_EQ(admission.in_flight(), 0);
  EXPECT_EQ(admission.refused(Admission::Verdict::kTooMany, Priority::kNormal), 1);
  EXPECT_EQ(admission.refused(Admission::Verdict::kTooMany, Priority::kBulk), 0);
}

TEST(AdmissionTest, BulkIsShedFirstAndInteractiveLast) {
  struct Row {
    Priority priority;
    int64_t admitted;
  };
  for (const Row& row : {Row{Priority::kBulk, 80}, {Priority::kNormal, 95}, {Priority::kInteractive, 100}}) {
    Admission admission({.max_in_flight = 100, .max_body_bytes = 1000});
    std::vector<Admission::Permit> permits(101);
    int64_t admitted = 0;
    for (Admission::Permit& permit : permits)
      if (admission.Admit({.priority = row.priority}, permit) == Admission::Verdict::kAdmitted) ++admitted;
    EXPECT_EQ(admitted, row.admitted);
    Admission::Permit permit;
    permits.clear();
    const int64_t most = row.admitted * 10;
    EXPECT_EQ(admission.Admit({.priority = row.priority, .body_bytes = most}, permit),
              Admission::Verdict::kTooManyBytes);
    EXPECT_EQ(admission.Admit({.priority = row.priority, .body_bytes = most - 1}, permit),
              Admission::Verdict::kAdmitted);
  }
}

TEST(AdmissionTest, ACallerHasItsOwnLimitAndNothingIsKeptOfOneWhoIsGone) {
  Admission admission({.max_in_flight_per_caller = 2});
  Admission::Permit a, b, c, other;
  EXPECT_EQ(admission.Admit({.caller = "a"}, a), Admission::Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit({.caller = "a"}, b), Admission::Verdict::kAdmitted);
  EXPECT_EQ(admission.Admit({.caller = "a"}, c), Admission::Verdict::kTooManyOfCaller);
  EXPECT_EQ(admission.Admit({.caller = "b"}, other), Admission::Verdict::kAdmitted);
  EXPECT_EQ(admission.in_flight(), 3) << "the refused one is not counted";
  a = {};
  EXPECT_EQ(admission.Admit({.caller = "a"}, c), Admission::Verdict::kAdmitted);
  b = {};
  c = {};
  other = {};
  EXPECT_EQ(admission.in_flight_of("a"), 0);
  EXPECT_EQ(admission.in_flight(), 0);
  EXPECT_EQ(admission.Admit({.fetches = 50, .caller = "a"}, a), Admission::Verdict::kAdmitted) << "alone, anything";
}

TEST(AdmissionTest, WhoIsRefusedIsToldWhenToComeAgain) {
  Admission admission({.max_in_flight = 100}, 1);
  Instant now{std::chrono::hours(1)};
  std::vector<Admission::Permit> permits(100);
  for (Admission::Permit& permit : permits)
    EXPECT_EQ(admission.Admit({.priority = Priority::kInteractive}, permit), Admission::Verdict::kAdmitted);
  const Admission::Request one{.priority = Priority::kInteractive};
  admission.RetryAfter(one, now);
  // 100 end in a second: one is let in after 10 ms, so the least counts; 99 more after a second.
  permits.clear();
  now += std::chrono::seconds(1);
  permits.resize(100);
  for (Admission::Permit& permit : permits) admission.Admit(one, permit);
  for (int i = 0; i < 100; ++i) {
    const Duration soon = admission.RetryAfter(one, now);
    EXPECT_GE(soon, std::chrono::milliseconds(100));
    EXPECT_LE(soon, std::chrono::milliseconds(200));
    const Duration later = admission.RetryAfter({.fetches = 100, .priority = Priority::kInteractive}, now);
    EXPECT_GE(later, std::chrono::seconds(1));
    EXPECT_LE(later, std::chrono::seconds(2));
    const Duration longest = admission.RetryAfter({.fetches = 100'000, .priority = Priority::kInteractive}, now);
    EXPECT_GE(longest, std::chrono::milliseconds(2500));
    EXPECT_LE(longest, std::chrono::seconds(5));
  }
}

}  // namespace
}  // namespace fetchd::server
