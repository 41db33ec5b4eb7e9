#include "fetch/paged.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "support/fake_clock.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Reason = PagedEnd::Reason;

// What the fake origin answers.
struct Answer {
  int status = 200;
  std::string body = {};
  std::string link = {};
  std::optional<Failure> failure = {};
  bool truncated = false;
};

// Answers each page by a function; one fetch at a time, from the loop's queue.
class FakeStarter final : public FetchStarter {
 public:
  FakeStarter(asio::io_context& loop, std::function<Answer(const FetchSpec&)> origin)
      : loop_(loop), origin_(std::move(origin)) {}

  absl::Status CheckUrl(const Url& url) const override {
    if (url.host() == "10.0.0.1") return absl::PermissionDeniedError("10.0.0.1 is a private address");
    return absl::OkStatus();
  }
  void Start(std::shared_ptr<FetchCall> call) override {
    EXPECT_TRUE(CheckUrl(call->spec.url).ok());
    EXPECT_EQ(running_, nullptr) << "two pages at once";
    requests.push_back(call->spec);
    running_ = call;
    asio::post(loop_, [this, call] {
      if (running_ == call && !hold) Finish(origin_(call->spec));
    });
  }
  void Cancel(const std::shared_ptr<FetchCall>& call) override {
    asio::post(loop_, [this, call] {
      if (running_ != call) return;
      Outcome outcome;
      outcome.failure = Failure{FailureCode::kCancelled, Phase::kWait, Processed::kMaybe, "cancelled"};
      std::exchange(running_, nullptr)->OnDone(std::move(outcome));
    });
  }
  bool running() const { return running_ != nullptr; }

  std::vector<FetchSpec> requests;
  // Requests stay unanswered.
  bool hold = false;

 private:
  void Finish(Answer answer) {
    const std::shared_ptr<FetchCall> call = std::exchange(running_, nullptr);
    call->OnStart(loop_.get_executor());
    Outcome outcome;
    outcome.failure = answer.failure;
    outcome.truncated = answer.truncated;
    if (!answer.failure || !answer.body.empty()) {
      ResponseHead head;
      head.status = answer.status;
      if (!answer.link.empty()) head.headers.Add("link", answer.link);
      call->OnHead(std::move(head));
      std::string_view rest = answer.body;
      while (!rest.empty()) {
        std::span<char> room = call->Prepare(rest.size());
        std::copy_n(rest.begin(), room.size(), room.begin());
        call->Commit(room.size());
        rest.remove_prefix(room.size());
      }
    }
    call->OnDone(std::move(outcome));
  }

  asio::io_context& loop_;
  std::function<Answer(const FetchSpec&)> origin_;
  std::shared_ptr<FetchCall> running_;
};

// What arrived at the caller.
struct Received {
  // Items of ITEM messages.
  std::vector<std::string> items;
  std::vector<PagedPage> pages;
  // After each message: its token, and how many items and pages were there.
  struct Mark {
    std::string token;
    size_t items;
    size_t pages;
  };
  std::vector<Mark> marks;
  std::optional<PagedEnd> end;
};

// One caller of one list. `patient` callers take each message at once.
class Caller final : public PagedReceiver {
 public:
  Caller(asio::io_context& loop, FakeStarter& starter, const ResumeTokens& tokens, const Clock& clock, PagedSpec spec,
         bool patient = true)
      : patient_(patient),
        fetch(std::make_shared<PagedFetch>(std::move(spec), starter, tokens, clock, loop.get_executor(), *this)) {
    fetch->Start();
  }

  void OnMessage(PagedMessage message) override {
    EXPECT_FALSE(got.end);
    EXPECT_TRUE(allowed_) << "a message before the one before was taken";
    allowed_ = false;
    if (auto* page = std::get_if<PagedPage>(&message.content)) {
      got.pages.push_back(std::move(*page));
    } else {
      auto& items = std::get<PagedItems>(message.content);
      EXPECT_FALSE(items.items.empty());
      EXPECT_LE(items.items.size(), 1000u);
      for (std::string_view item : items.items) got.items.emplace_back(item);
    }
    got.marks.push_back({message.resume_token, got.items.size(), got.pages.size()});
    if (patient_) Ready();
  }
  void OnEnd(PagedEnd end) override {
    EXPECT_FALSE(got.end);
    got.end = std::move(end);
  }
  void Ready() {
    allowed_ = true;
    fetch->CallerReady();
  }

 private:
  const bool patient_;
  bool allowed_ = true;

 public:
  Received got;
  std::shared_ptr<PagedFetch> fetch;
};

class Paged : public ::testing::Test {
 protected:
  // A list of `total` items, `size` for each page, as {"items":[...],"next":"/list?page=2"}.
  static Answer List(const FetchSpec& spec, int total, int size) {
    const std::string url = spec.url.text();
    const size_t at = url.find("page=");
    const int page = at == std::string::npos ? 1 : std::stoi(url.substr(at + 5));
    std::string body = "{\"items\": [";
    const int first = (page - 1) * size, last = std::min(total, page * size);
    for (int i = first; i < last; ++i) absl::StrAppend(&body, i > first ? ", " : "", "{\"id\":", i, "}");
    body += "]";
    Answer answer;
    if (last < total) {
      const std::string next = absl::StrCat("/list?page=", page + 1);
      absl::StrAppend(&body, ",\"next\":\"", next, "\"");
      answer.link = absl::StrCat("<", next, ">; rel=next");
    }
    answer.body = body + "}";
    return answer;
  }
  static std::vector<std::string> Ids(int from, int to) {
    std::vector<std::string> ids;
    for (int i = from; i < to; ++i) ids.push_back(absl::StrCat("{\"id\":", i, "}"));
    return ids;
  }
  static PagedSpec Spec(PagedUnit unit, PagingStrategy strategy = NextUrlPaging{"/next"}) {
    PagedSpec spec;
    spec.request.id = "f1";
    spec.request.caller = "me";
    spec.request.url = Url::Parse("https://a.test/list").value();
    spec.rules.strategy = std::move(strategy);
    spec.items = "/items";
    spec.unit = unit;
    return spec;
  }
  // Runs a list to its end.
  Received Run(PagedSpec spec, std::function<Answer(const FetchSpec&)> origin) {
    asio::io_context loop;
    FakeStarter starter(loop, std::move(origin));
    Caller caller(loop, starter, tokens_, clock_, std::move(spec));
    loop.run();
    EXPECT_TRUE(caller.got.end);
    EXPECT_FALSE(starter.running());
    EXPECT_EQ(caller.fetch.use_count(), 1);
    requests_ = starter.requests;
    return std::move(caller.got);
  }
  Received Run(PagedSpec spec, int total, int size) {
    return Run(std::move(spec), [=](const FetchSpec& s) { return List(s, total, size); });
  }
  PagingState Open(const PagedSpec& spec, const std::string& token) const {
    absl::StatusOr<PagingState> state = tokens_.Open(token, "me", PagedRequestHash(spec), clock_.WallNow());
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : PagingState{};
  }
  PagedSpec Resumed(PagedSpec spec, const std::string& token) const {
    spec.resume = Open(spec, token);
    return spec;
  }

  FakeClock clock_;
  ResumeTokens tokens_{{.key = std::string(32, 'k')}};
  std::vector<FetchSpec> requests_;
};

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
