#include "fetch/paged.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "paged_fixture.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using Reason = PagedEnd::Reason;

TEST_F(Paged, StreamsItemsOfAllPages) {
  const Received got = Run(Spec(PagedUnit::kItem), 25, 10);
  EXPECT_EQ(got.items, Ids(0, 25));
  EXPECT_EQ(got.end->reason, Reason::kLastPage);
  EXPECT_EQ(got.end->pages, 3u);
  EXPECT_EQ(got.end->items, 25u);
  EXPECT_EQ(got.end->resume_token, "");
  EXPECT_FALSE(got.end->error);
  ASSERT_EQ(requests_.size(), 3u);
  EXPECT_EQ(requests_[0].id, "f1.1");
  EXPECT_EQ(requests_[2].id, "f1.3");
  EXPECT_EQ(requests_[2].url.text(), "https://a.test/list?page=3");
}

TEST_F(Paged, StreamsPages) {
  const Received got = Run(Spec(PagedUnit::kPage), 25, 10);
  ASSERT_EQ(got.pages.size(), 3u);
  EXPECT_EQ(got.pages[0].number, 1u);
  EXPECT_EQ(got.pages[0].head.status, 200);
  EXPECT_EQ(got.pages[2].number, 3u);
  EXPECT_EQ(got.pages[2].item_count, 5u);
  EXPECT_EQ(got.pages[0].body, List(requests_[0], 25, 10).body);
  EXPECT_EQ(got.end->reason, Reason::kLastPage);
  EXPECT_EQ(got.end->items, 25u);
}

TEST_F(Paged, EveryStrategyDeliversTheSameItems) {
  const PagingStrategy strategies[] = {LinkHeaderPaging{}, NextUrlPaging{"/next"},
                                       PageNumberPaging{.param = "page", .start = 1, .page_size = 10},
                                       PageNumberPaging{.param = "page"}};
  for (const PagingStrategy& strategy : strategies) {
    EXPECT_EQ(Run(Spec(PagedUnit::kItem, strategy), 40, 10).items, Ids(0, 40)) << strategy.index();
  }
  auto sliced = [](const FetchSpec& spec) {
    const std::string url = spec.url.text();
    const int from = std::stoi(url.substr(url.find("from=") + 5));
    std::string body = "{\"items\":[";
    for (int i = from; i < std::min(40, from + 10); ++i) {
      absl::StrAppend(&body, i > from ? "," : "", "{\"id\":", i, "}");
    }
    return Answer{.body = absl::StrCat(body, "],\"c\":", from + 10 < 40 ? absl::StrCat(from + 10) : "null", "}")};
  };
  EXPECT_EQ(
      Run(Spec(PagedUnit::kItem, OffsetPaging{.param = "from", .start = 0, .limit = 0, .limit_param = ""}), sliced)
          .items,
      Ids(0, 40));
  EXPECT_EQ(requests_.size(), 5u) << "the empty page ends it";
  PagedSpec cursor = Spec(PagedUnit::kItem, CursorPaging{.pointer = "/c", .header = "", .param = "from"});
  cursor.request.url = Url::Parse("https://a.test/list?from=0").value();
  EXPECT_EQ(Run(cursor, sliced).items, Ids(0, 40));
  EXPECT_EQ(requests_.size(), 4u);
}

TEST_F(Paged, PagesNeedNoJsonWithoutPointers) {
  PagedSpec spec = Spec(PagedUnit::kPage, LinkHeaderPaging{});
  spec.items.reset();
  const Received got = Run(spec, [](const FetchSpec& s) {
    return Answer{
        .body = "not json", .link = s.url.text().ends_with("/list") ? "</2>; rel=next" : "", .truncated = true};
  });
  EXPECT_EQ(got.pages.size(), 2u);
  EXPECT_TRUE(got.pages[0].truncated);
  EXPECT_EQ(got.end->reason, Reason::kLastPage);
  EXPECT_EQ(got.end->items, 0u);
}

TEST_F(Paged, NothingIsRequestedAheadOfTheCaller) {
  for (PagedUnit unit : {PagedUnit::kPage, PagedUnit::kItem}) {
    asio::io_context loop;
    FakeStarter starter(loop, [](const FetchSpec& s) { return List(s, 4, 2); });
    Caller caller(loop, starter, tokens_, clock_, Spec(unit), /*patient=*/false);
    loop.run();
    EXPECT_EQ(caller.got.marks.size(), 1u);
    EXPECT_EQ(starter.requests.size(), 1u);
    caller.Ready();
    loop.restart();
    loop.run();
    EXPECT_EQ(caller.got.marks.size(), 2u);
    EXPECT_EQ(starter.requests.size(), 2u);
    EXPECT_FALSE(caller.got.end) << "the end waits for its turn, too";
    caller.Ready();
    loop.restart();
    loop.run();
    EXPECT_TRUE(caller.got.end);
  }
}

TEST_F(Paged, ALargePageTakesSeveralMessagesBeforeTheNextIsRequested) {
  asio::io_context loop;
  FakeStarter starter(loop, [](const FetchSpec& s) { return List(s, 4000, 2500); });
  Caller caller(loop, starter, tokens_, clock_, Spec(PagedUnit::kItem), /*patient=*/false);
  std::vector<size_t> items, requests;
  while (!caller.got.end) {
    loop.restart();
    loop.run();
    items.push_back(caller.got.items.size());
    requests.push_back(starter.requests.size());
    caller.Ready();
  }
  EXPECT_THAT(items, ElementsAre(1000, 2000, 2500, 3500, 4000, 4000));
  EXPECT_THAT(requests, ElementsAre(1, 1, 1, 2, 2, 2));
}

TEST_F(Paged, MessagesOfLargeItemsAreBounded) {
  const std::string item = "\"" + std::string(400'000, 'x') + "\"", huge = "\"" + std::string(1'500'000, 'y') + "\"";
  asio::io_context loop;
  FakeStarter starter(loop, [&](const FetchSpec&) {
    return Answer{.body = absl::StrCat("{\"items\":[", item, ",", item, ",", item, ",", huge, ",1]}")};
  });
  Caller caller(loop, starter, tokens_, clock_, Spec(PagedUnit::kItem));
  loop.run();
  std::vector<size_t> counts;
  for (const auto& mark : caller.got.marks) counts.push_back(mark.items);
  EXPECT_THAT(counts, ElementsAre(2, 3, 4, 5));
}

TEST_F(Paged, ResumesAfterEveryMessageWithoutLossOrRepetition) {
  for (const PagingStrategy& strategy : {PagingStrategy(NextUrlPaging{"/next"}), PagingStrategy(LinkHeaderPaging{}),
                                         PagingStrategy(PageNumberPaging{.param = "page"})}) {
    for (PagedUnit unit : {PagedUnit::kItem, PagedUnit::kPage}) {
      for (uint64_t max_items : {0, 2100, 3000, 2500}) {
        PagedSpec spec = Spec(unit, strategy);
        spec.rules.max_items = max_items;
        const Received whole = Run(spec, 5000, 2500);
        ASSERT_GE(whole.marks.size(), 1u);
        for (const Received::Mark& mark : whole.marks) {
          ASSERT_FALSE(mark.token.empty());
          const Received rest = Run(Resumed(spec, mark.token), 5000, 2500);
          std::vector<std::string> items(whole.items.begin(), whole.items.begin() + static_cast<long>(mark.items));
          items.insert(items.end(), rest.items.begin(), rest.items.end());
          EXPECT_EQ(items, whole.items);
          EXPECT_EQ(mark.pages + rest.pages.size(), whole.pages.size());
          EXPECT_EQ(rest.end->reason, whole.end->reason);
          EXPECT_EQ(rest.end->pages, whole.end->pages);
          EXPECT_EQ(rest.end->items, whole.end->items);
          EXPECT_EQ(rest.end->resume_token, whole.end->resume_token);
        }
      }
    }
  }
}

TEST_F(Paged, ResumingAfterTheLastMessageRequestsNothing) {
  const PagedSpec spec = Spec(PagedUnit::kItem);
  const Received whole = Run(spec, 5, 10);
  const Received rest = Run(Resumed(spec, whole.marks.back().token), 5, 10);
  EXPECT_EQ(rest.end->reason, Reason::kLastPage);
  EXPECT_TRUE(requests_.empty());
}

}  // namespace
}  // namespace fetchd::server
