#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fetch/paged.h"
#include "paged_fixture.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;
using Reason = PagedEnd::Reason;

TEST_F(Paged, EndsAtMaxItemsExactlyAndTheNextCallGoesOn) {
  for (uint64_t max : {1, 9, 10, 11, 20, 24}) {
    PagedSpec spec = Spec(PagedUnit::kItem);
    spec.rules.max_items = max;
    std::vector<std::string> items;
    Received got = Run(spec, 25, 10);
    int calls = 1;
    while (calls < 100) {
      EXPECT_LE(got.items.size(), max);
      items.insert(items.end(), got.items.begin(), got.items.end());
      if (got.end->reason != Reason::kMaxItems || got.end->resume_token.empty()) break;
      EXPECT_EQ(got.items.size(), max);
      EXPECT_EQ(got.end->items, items.size());
      got = Run(Resumed(spec, got.end->resume_token), 25, 10);
      ++calls;
    }
    EXPECT_EQ(items, Ids(0, 25));
    EXPECT_EQ(calls, (25 + static_cast<int>(max) - 1) / static_cast<int>(max));
  }
  PagedSpec spec = Spec(PagedUnit::kItem);
  spec.rules.max_items = 25;
  const Received got = Run(spec, 25, 10);
  EXPECT_EQ(got.end->reason, Reason::kMaxItems);
  EXPECT_EQ(got.end->resume_token, "") << "nothing is left";
  spec.rules.max_items = 10;
  Run(spec, 25, 10);
  EXPECT_EQ(requests_.size(), 1u);
}

TEST_F(Paged, WholePagesEndAfterTheOneThatReachesMaxItems) {
  PagedSpec spec = Spec(PagedUnit::kPage);
  spec.rules.max_items = 11;
  const Received got = Run(spec, 50, 10);
  EXPECT_EQ(got.pages.size(), 2u);
  EXPECT_EQ(got.end->reason, Reason::kMaxItems);
  EXPECT_EQ(got.end->items, 20u);
}

TEST_F(Paged, EndsAtMaxPagesAndTheNextCallGoesOn) {
  PagedSpec spec = Spec(PagedUnit::kItem);
  spec.rules.max_pages = 2;
  Received got = Run(spec, 45, 10);
  EXPECT_EQ(got.items, Ids(0, 20));
  EXPECT_EQ(got.end->reason, Reason::kMaxPages);
  EXPECT_EQ(got.end->pages, 2u);
  EXPECT_EQ(requests_.size(), 2u);
  got = Run(Resumed(spec, got.end->resume_token), 45, 10);
  EXPECT_EQ(got.items, Ids(20, 40));
  EXPECT_EQ(got.end->pages, 4u);
  got = Run(Resumed(spec, got.end->resume_token), 45, 10);
  EXPECT_EQ(got.items, Ids(40, 45));
  EXPECT_EQ(got.end->reason, Reason::kLastPage) << "a list with exactly so many pages just ends";
}

TEST_F(Paged, APageThatFailsEndsTheListWithItsToken) {
  for (PagedUnit unit : {PagedUnit::kItem, PagedUnit::kPage}) {
    bool broken = true;
    auto origin = [&](const FetchSpec& s) {
      if (broken && s.url.text().ends_with("page=2")) {
        return Answer{
            .body = "half",
            .failure = Failure{FailureCode::kHttpResponseIncomplete, Phase::kReceive, Processed::kYes, "cut"}};
      }
      return List(s, 25, 10);
    };
    const PagedSpec spec = Spec(unit);
    const Received got = Run(spec, origin);
    EXPECT_EQ(got.marks.size(), 1u);
    EXPECT_EQ(got.end->reason, Reason::kError);
    ASSERT_TRUE(got.end->error);
    EXPECT_EQ(got.end->error->failure.code, FailureCode::kHttpResponseIncomplete);
    EXPECT_EQ(got.end->error->failure.phase, Phase::kReceive);
    EXPECT_TRUE(got.end->error->retryable);
    EXPECT_EQ(got.end->error->url, "https://a.test/list?page=*");
    EXPECT_EQ(got.end->error->body, "half");
    EXPECT_TRUE(got.end->error->head);
    EXPECT_EQ(got.end->pages, 1u);
    broken = false;
    const Received rest = Run(Resumed(spec, got.end->resume_token), origin);
    EXPECT_EQ(rest.marks.size(), 2u);
    EXPECT_EQ(rest.end->reason, Reason::kLastPage);
    EXPECT_EQ(rest.end->pages, 3u);
    EXPECT_EQ(rest.end->items, 25u);
  }
}

TEST_F(Paged, AStatusOtherThan2xxEndsTheList) {
  for (auto [status, retryable] : {std::pair(304, false), {404, false}, {429, true}, {501, false}, {503, true}}) {
    const Received got =
        Run(Spec(PagedUnit::kItem), [s = status](const FetchSpec&) { return Answer{.status = s, .body = "sorry"}; });
    ASSERT_TRUE(got.end->error);
    EXPECT_EQ(got.end->error->failure.code, FailureCode::kPageStatus);
    EXPECT_EQ(got.end->error->failure.phase, Phase::kPaginate);
    EXPECT_EQ(got.end->error->failure.processed, Processed::kYes);
    EXPECT_EQ(got.end->error->head->status, status);
    EXPECT_EQ(got.end->error->body, "sorry");
    EXPECT_EQ(got.end->error->retryable, retryable) << status;
    EXPECT_FALSE(got.end->resume_token.empty());
    EXPECT_EQ(got.end->pages, 0u);
  }
}

TEST_F(Paged, ABrokenPageIsRefusedBeforeAnyOfItsItems) {
  for (const char* body : {"", "{\"items\":[1,2,3],\"next\":\"/2\"", "{\"items\":{}}", "{\"items\":[1],\"next\":7}",
                           "{\"items\":[1],\"next\":\"http://\"}", "{\"other\":1}"}) {
    for (PagedUnit unit : {PagedUnit::kItem, PagedUnit::kPage}) {
      const Received got = Run(Spec(unit), [&](const FetchSpec&) { return Answer{.body = body}; });
      EXPECT_TRUE(got.marks.empty()) << body;
      ASSERT_TRUE(got.end->error);
      EXPECT_EQ(got.end->error->failure.code, FailureCode::kPageInvalid) << body;
      EXPECT_EQ(got.end->error->body, body);
      EXPECT_FALSE(got.end->error->retryable);
      EXPECT_FALSE(got.end->resume_token.empty());
    }
  }
  const Received cut = Run(Spec(PagedUnit::kItem),
                           [](const FetchSpec&) { return Answer{.body = "{\"items\":[1,2", .truncated = true}; });
  EXPECT_THAT(cut.end->error->failure.detail, HasSubstr("body_policy.max_bytes"));
}

TEST_F(Paged, AForbiddenNextPageIsAnInBandErrorAfterTheGoodOne) {
  struct Row {
    const char* next;
    bool allow;
    FailureCode code;
    const char* url;
  };
  for (const Row& row : {Row{"https://b.test/2?k=v", false, FailureCode::kPageOriginProhibited, "https://b.test/2?k=*"},
                         Row{"http://a.test/2", true, FailureCode::kPageOriginProhibited, "http://a.test/2"},
                         Row{"https://10.0.0.1/2", true, FailureCode::kDestinationIpProhibited, "https://10.0.0.1/2"},
                         Row{"ftp://a.test/2", true, FailureCode::kDestinationIpProhibited, "https://a.test/list"},
                         Row{"/list", false, FailureCode::kPaginationLoop, "https://a.test/list"}}) {
    for (PagedUnit unit : {PagedUnit::kItem, PagedUnit::kPage}) {
      PagedSpec spec = Spec(unit);
      spec.rules.allow_other_origins = row.allow;
      const auto origin = [&](const FetchSpec&) {
        return Answer{.body = absl::StrCat("{\"items\":[1],\"next\":\"", row.next, "\"}")};
      };
      const Received got = Run(spec, origin);
      EXPECT_EQ(got.marks.size(), 1u);
      EXPECT_EQ(requests_.size(), 1u);
      EXPECT_EQ(got.end->items, 1u);
      ASSERT_TRUE(got.end->error) << row.next;
      EXPECT_EQ(got.end->error->failure.code, row.code) << row.next;
      EXPECT_EQ(got.end->error->url, row.url);
      EXPECT_FALSE(got.end->error->head);
      EXPECT_EQ(got.end->resume_token.empty(), row.code == FailureCode::kPaginationLoop);
      // Whoever resumes gets no item again, and the same verdict.
      const Received again = Run(Resumed(spec, got.marks[0].token), origin);
      EXPECT_TRUE(again.marks.empty());
      EXPECT_EQ(again.end->error->failure.code, row.code);
      EXPECT_EQ(again.end->pages, 1u);
      EXPECT_EQ(again.end->items, 1u);
    }
  }
}

TEST_F(Paged, SecretsStayWithTheFirstOrigin) {
  PagedSpec spec = Spec(PagedUnit::kPage);
  spec.rules.allow_other_origins = true;
  spec.request.headers.Add("authorization", "Bearer x");
  spec.request.headers.Add("x-plain", "1");
  spec.request.headers.Add("x-key", "k", /*sensitive=*/true);
  Run(spec, [](const FetchSpec& s) {
    const std::string url = s.url.text();
    if (url == "https://a.test/list") return Answer{.body = "{\"items\":[],\"next\":\"https://b.test/2\"}"};
    if (url == "https://b.test/2") return Answer{.body = "{\"items\":[],\"next\":\"https://a.test/3\"}"};
    return Answer{.body = "{\"items\":[]}"};
  });
  ASSERT_EQ(requests_.size(), 3u);
  EXPECT_EQ(requests_[0].headers.size(), 3u);
  EXPECT_EQ(requests_[1].headers.size(), 1u);
  EXPECT_TRUE(requests_[1].headers.Has("x-plain"));
  EXPECT_EQ(requests_[2].headers.size(), 3u);
  EXPECT_TRUE(requests_[2].headers[2].sensitive);
}

TEST_F(Paged, AnOriginThatIgnoresThePageNumberIsALoop) {
  const PagedSpec spec = Spec(PagedUnit::kItem, PageNumberPaging{.param = "p"});
  const auto origin = [](const FetchSpec&) { return Answer{.body = "{\"items\":[1,2]}"}; };
  const Received got = Run(spec, origin);
  EXPECT_EQ(got.items.size(), 2u);
  EXPECT_EQ(got.end->error->failure.code, FailureCode::kPaginationLoop);
  EXPECT_EQ(requests_.size(), 2u);
  // Found across a resumed call, too.
  const Received rest = Run(Resumed(spec, got.marks[0].token), origin);
  EXPECT_TRUE(rest.items.empty());
  EXPECT_EQ(rest.end->error->failure.code, FailureCode::kPaginationLoop);
}

TEST_F(Paged, EachPageHasADeadlineOfItsOwnWithinTheCalls) {
  PagedSpec spec = Spec(PagedUnit::kItem);
  spec.request.timeouts.total = std::chrono::seconds(30);
  const Instant start = clock_.Now();
  spec.deadline = start + std::chrono::seconds(70);
  Run(spec, [this](const FetchSpec& s) {
    clock_.Advance(std::chrono::seconds(25));
    return List(s, 30, 10);
  });
  ASSERT_EQ(requests_.size(), 3u);
  EXPECT_EQ(requests_[0].deadline, start + std::chrono::seconds(30));
  EXPECT_EQ(requests_[1].deadline, start + std::chrono::seconds(55));
  EXPECT_EQ(requests_[2].deadline, start + std::chrono::seconds(70));
}

TEST_F(Paged, AResumedPageThatShrankHasNothingLeft) {
  const PagedSpec spec = Spec(PagedUnit::kItem);
  const Received whole = Run(spec, 2500, 2500);
  const Received rest = Run(Resumed(spec, whole.marks[1].token), 1500, 2500);
  EXPECT_TRUE(rest.items.empty());
  EXPECT_EQ(rest.end->reason, Reason::kLastPage);
}

TEST_F(Paged, ParametersThatDoNotFitIntoTheUrlAreInBand) {
  const Received got = Run(Spec(PagedUnit::kItem, PageNumberPaging{.param = std::string(9000, 'p')}), 1, 1);
  ASSERT_TRUE(got.end->error);
  EXPECT_EQ(got.end->error->failure.code, FailureCode::kRequestInvalid);
}

TEST_F(Paged, CancelAtAnyPointEndsOnceAndLeavesNothing) {
  for (PagedUnit unit : {PagedUnit::kItem, PagedUnit::kPage}) {
    for (bool patient : {true, false}) {
      bool finished = false;
      for (int point = 0; !finished && point < 1000; ++point) {
        asio::io_context loop;
        FakeStarter starter(loop, [](const FetchSpec& s) { return List(s, 4000, 1500); });
        Caller caller(loop, starter, tokens_, clock_, Spec(unit), patient);
        int steps = 0;
        while (steps < point && loop.poll_one() > 0) ++steps;
        finished = steps < point;
        const bool ended = caller.got.end.has_value();
        const size_t messages = caller.got.marks.size();
        caller.fetch->Cancel();
        caller.fetch->Cancel();
        EXPECT_EQ(caller.got.marks.size(), messages) << "nothing comes from inside the call";
        loop.restart();
        loop.run();
        ASSERT_TRUE(caller.got.end) << point;
        if (!ended) {
          EXPECT_EQ(caller.got.end->reason, Reason::kCancelled);
          EXPECT_EQ(caller.got.marks.size(), messages);
        }
        EXPECT_FALSE(starter.running());
        EXPECT_EQ(caller.fetch.use_count(), 1);
        caller.Ready();
        loop.restart();
        loop.run();
      }
      EXPECT_TRUE(finished);
    }
  }
}

TEST_F(Paged, DrainAtAnyPointEndsWithATokenThatLosesNothing) {
  for (PagedUnit unit : {PagedUnit::kItem, PagedUnit::kPage}) {
    bool finished = false;
    for (int point = 0; !finished && point < 1000; ++point) {
      const PagedSpec spec = Spec(unit);
      asio::io_context loop;
      FakeStarter starter(loop, [](const FetchSpec& s) { return List(s, 4000, 1500); });
      Caller caller(loop, starter, tokens_, clock_, spec);
      int steps = 0;
      while (steps < point && loop.poll_one() > 0) ++steps;
      finished = steps < point;
      caller.fetch->Drain();
      loop.restart();
      loop.run();
      Received& got = caller.got;
      ASSERT_TRUE(got.end) << point;
      EXPECT_FALSE(starter.running());
      if (got.end->reason == Reason::kDraining) {
        const Received rest = Run(Resumed(spec, got.end->resume_token), 4000, 1500);
        got.items.insert(got.items.end(), rest.items.begin(), rest.items.end());
        EXPECT_EQ(got.pages.size() + rest.pages.size(), unit == PagedUnit::kPage ? 3u : 0u);
        EXPECT_EQ(rest.end->items, 4000u);
      } else {
        EXPECT_EQ(got.end->reason, Reason::kLastPage);
      }
      if (unit == PagedUnit::kItem) {
        EXPECT_EQ(got.items, Ids(0, 4000)) << point;
      }
    }
    EXPECT_TRUE(finished);
  }
}

TEST_F(Paged, DrainWaitsForTheMessageInFlight) {
  asio::io_context loop;
  FakeStarter starter(loop, [](const FetchSpec& s) { return List(s, 20, 10); });
  Caller caller(loop, starter, tokens_, clock_, Spec(PagedUnit::kItem), /*patient=*/false);
  loop.run();
  ASSERT_EQ(caller.got.marks.size(), 1u);
  caller.fetch->Drain();
  loop.restart();
  loop.run();
  EXPECT_FALSE(caller.got.end);
  caller.Ready();
  loop.restart();
  loop.run();
  EXPECT_EQ(caller.got.end->reason, Reason::kDraining);
  EXPECT_EQ(caller.got.end->resume_token, caller.got.marks[0].token);
  EXPECT_EQ(starter.requests.size(), 1u);
}

TEST_F(Paged, AFetchThatTheEngineCancelsAsItStopsCountsAsDraining) {
  const Received got = Run(Spec(PagedUnit::kItem), [](const FetchSpec&) {
    return Answer{.failure = Failure{FailureCode::kCancelled, Phase::kWait, Processed::kMaybe, "stopping"}};
  });
  EXPECT_EQ(got.end->reason, Reason::kDraining);
  EXPECT_FALSE(got.end->resume_token.empty());
}

}  // namespace
}  // namespace fetchd::server
