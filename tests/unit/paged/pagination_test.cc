#include "policy/pagination.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;
using Next = PageVerdict::Next;
using Kind = JsonValue::Kind;

Url U(const std::string& text) { return Url::Parse(text).value(); }

// What a page holds, in short.
struct PageGiven {
  std::string link = {};
  JsonValue value = {};
  std::optional<uint64_t> items = {};
  std::optional<uint64_t> body_hash = {};
};

// Walks a list page by page.
class Walk {
 public:
  Walk(PagingRules rules, const std::string& first) : pagination_(rules, U(first)), at_(InitialPagingState(rules)) {}

  std::string Url() const { return pagination_.PageUrl(at_).value().text(); }
  PageVerdict Page(const PageGiven& given) {
    Headers headers;
    if (!given.link.empty()) headers.Add("link", given.link);
    headers.Add("x-cursor", given.value.text);
    const class Url url = pagination_.PageUrl(at_).value();
    PageVerdict verdict = pagination_.Decide(
        at_,
        {.url = url, .headers = headers, .value = given.value, .items = given.items, .body_hash = given.body_hash});
    if (verdict.next == Next::kPage) at_ = verdict.after;
    return verdict;
  }
  PagingState& at() { return at_; }

 private:
  Pagination pagination_;
  PagingState at_;
};

PagingRules Rules(PagingStrategy strategy) {
  PagingRules rules;
  rules.strategy = std::move(strategy);
  return rules;
}

JsonValue String(std::string text) { return {Kind::kString, std::move(text)}; }
JsonValue Number(std::string text) { return {Kind::kNumber, std::move(text)}; }

struct Row {
  const char* what;
  PagingStrategy strategy;
  const char* first;
  PageGiven page;
  Next next;
  // The next page's URL with kPage.
  const char* url;
  FailureCode code = FailureCode::kInternal;
};

void Check(const std::vector<Row>& rows, bool allow_other_origins = false) {
  for (const Row& row : rows) {
    PagingRules rules = Rules(row.strategy);
    rules.allow_other_origins = allow_other_origins;
    Walk walk(rules, row.first);
    const PageVerdict verdict = walk.Page(row.page);
    EXPECT_EQ(verdict.next, row.next) << row.what << ": " << verdict.failure.detail;
    if (row.next == Next::kPage) {
      EXPECT_EQ(walk.Url(), row.url) << row.what;
      EXPECT_EQ(verdict.after.pages, 1u) << row.what;
    }
    if (row.next == Next::kLast) {
      EXPECT_TRUE(verdict.after.done) << row.what;
    }
    if (row.next == Next::kFailed || row.next == Next::kRefused) {
      EXPECT_EQ(verdict.failure.code, row.code) << row.what << ": " << verdict.failure.detail;
      EXPECT_EQ(verdict.failure.phase, Phase::kPaginate) << row.what;
      EXPECT_FALSE(verdict.failure.detail.empty()) << row.what;
    }
  }
}

constexpr const char* kFirst = "https://a.test/list?q=1";

TEST(LinkHeaderPages, FollowTheRelation) {
  Check({
      {"none", LinkHeaderPaging{}, kFirst, {}, Next::kLast, ""},
      {"absolute",
       LinkHeaderPaging{},
       kFirst,
       {.link = "<https://a.test/list?page=2>; rel=next"},
       Next::kPage,
       "https://a.test/list?page=2"},
      {"relative",
       LinkHeaderPaging{},
       kFirst,
       {.link = "<?page=2>; rel=next"},
       Next::kPage,
       "https://a.test/list?page=2"},
      {"other relation",
       LinkHeaderPaging{"older"},
       kFirst,
       {.link = "</1>; rel=next, </2>; rel=older"},
       Next::kPage,
       "https://a.test/2"},
      {"malformed",
       LinkHeaderPaging{},
       kFirst,
       {.link = "<https://a.test/"},
       Next::kRefused,
       "",
       FailureCode::kPageInvalid},
      {"malformed target",
       LinkHeaderPaging{},
       kFirst,
       {.link = "<http://[::1>; rel=next"},
       Next::kRefused,
       "",
       FailureCode::kPageInvalid},
      {"to itself",
       LinkHeaderPaging{},
       kFirst,
       {.link = "<>; rel=next"},
       Next::kFailed,
       "",
       FailureCode::kPaginationLoop},
  });
}

TEST(NextUrlPages, FollowTheUrl) {
  const NextUrlPaging s{"/next"};
  Check({
      {"missing", s, kFirst, {}, Next::kLast, ""},
      {"null", s, kFirst, {.value = {Kind::kNull, ""}}, Next::kLast, ""},
      {"empty", s, kFirst, {.value = String("")}, Next::kLast, ""},
      {"absolute",
       s,
       kFirst,
       {.value = String("https://a.test/list?page=2#x")},
       Next::kPage,
       "https://a.test/list?page=2"},
      {"path", s, kFirst, {.value = String("/p/2")}, Next::kPage, "https://a.test/p/2"},
      {"without scheme", s, kFirst, {.value = String("//a.test/p/2")}, Next::kPage, "https://a.test/p/2"},
      {"port spelt out", s, kFirst, {.value = String("https://A.test:443/p/2")}, Next::kPage, "https://a.test/p/2"},
      {"number", s, kFirst, {.value = Number("2")}, Next::kRefused, "", FailureCode::kPageInvalid},
      {"false", s, kFirst, {.value = {Kind::kOther, ""}}, Next::kRefused, "", FailureCode::kPageInvalid},
      {"control character", s, kFirst, {.value = String("/a\r\nb")}, Next::kRefused, "", FailureCode::kPageInvalid},
      {"user info", s, kFirst, {.value = String("https://u:p@a.test/")}, Next::kRefused, "", FailureCode::kPageInvalid},
      {"too long",
       s,
       kFirst,
       {.value = String("/" + std::string(9000, 'a'))},
       Next::kRefused,
       "",
       FailureCode::kPageInvalid},
      {"itself", s, kFirst, {.value = String(kFirst)}, Next::kFailed, "", FailureCode::kPaginationLoop},
      {"file",
       s,
       kFirst,
       {.value = String("file:///etc/passwd")},
       Next::kFailed,
       "",
       FailureCode::kDestinationIpProhibited},
  });
}

TEST(CursorPages, PutTheCursorIntoTheQuery) {
  const CursorPaging s{.pointer = "/c", .header = "", .param = "cursor"};
  const CursorPaging drop{.pointer = "/c", .header = "", .param = "cursor", .drop_other_params = true};
  const CursorPaging header{.pointer = "", .header = "x-cursor", .param = "cursor"};
  Check({
      {"missing", s, kFirst, {}, Next::kLast, ""},
      {"null", s, kFirst, {.value = {Kind::kNull, ""}}, Next::kLast, ""},
      {"empty", s, kFirst, {.value = String("")}, Next::kLast, ""},
      {"string", s, kFirst, {.value = String("abc")}, Next::kPage, "https://a.test/list?q=1&cursor=abc"},
      {"replaces",
       s,
       "https://a.test/list?cursor=0&q=1",
       {.value = String("abc")},
       Next::kPage,
       "https://a.test/list?cursor=abc&q=1"},
      {"other parameters are dropped",
       drop,
       kFirst,
       {.value = String("abc")},
       Next::kPage,
       "https://a.test/list?cursor=abc"},
      {"exact number",
       s,
       kFirst,
       {.value = Number("123456789012345678901")},
       Next::kPage,
       "https://a.test/list?q=1&cursor=123456789012345678901"},
      {"true", s, kFirst, {.value = {Kind::kOther, ""}}, Next::kRefused, "", FailureCode::kPageInvalid},
      {"too long", s, kFirst, {.value = String(std::string(9000, 'a'))}, Next::kRefused, "", FailureCode::kPageInvalid},
      {"in a header", header, kFirst, {.value = String("h1")}, Next::kPage, "https://a.test/list?q=1&cursor=h1"},
      {"no header", header, kFirst, {}, Next::kLast, ""},
      {"the one it was asked with",
       s,
       "https://a.test/list?cursor=5",
       {.value = Number("5")},
       Next::kFailed,
       "",
       FailureCode::kPaginationLoop},
  });
}

TEST(CursorPages, AreEncoded) {
  Walk walk(Rules(CursorPaging{.pointer = "/c", .header = "", .param = "cursor"}), "https://a.test/list");
  walk.Page({.value = String("a b&c=d/+#%\r\n\xc3\xa4")});
  const std::string url = walk.Url();
  for (const char* raw : {" ", "\r", "\n", "\xc3", "#", "&"}) EXPECT_THAT(url, ::testing::Not(HasSubstr(raw)));
  EXPECT_THAT(url, HasSubstr("%26"));
}

TEST(OffsetPages, CountItems) {
  const OffsetPaging plain{.param = "offset", .start = 0, .limit = 0, .limit_param = ""};
  const OffsetPaging limited{.param = "offset", .start = 10, .limit = 5, .limit_param = "limit"};
  const OffsetPaging unsent{.param = "offset", .start = 10, .limit = 5, .limit_param = ""};
  Check({
      {"no limit", plain, kFirst, {.items = 7}, Next::kPage, "https://a.test/list?q=1&offset=7"},
      {"empty", plain, kFirst, {.items = 0}, Next::kLast, ""},
      {"full page", limited, kFirst, {.items = 5}, Next::kPage, "https://a.test/list?q=1&offset=15&limit=5"},
      {"short page", limited, kFirst, {.items = 4}, Next::kLast, ""},
      {"origin sends more than asked",
       limited,
       kFirst,
       {.items = 8},
       Next::kPage,
       "https://a.test/list?q=1&offset=18&limit=5"},
      {"limit is not sent", unsent, kFirst, {.items = 5}, Next::kPage, "https://a.test/list?q=1&offset=15"},
      {"overflow",
       OffsetPaging{.param = "o", .start = UINT64_MAX, .limit = 0, .limit_param = ""},
       kFirst,
       {.items = 1},
       Next::kFailed,
       "",
       FailureCode::kPaginationLoop},
  });
  EXPECT_EQ(Walk(Rules(limited), kFirst).Url(), "https://a.test/list?q=1&offset=10&limit=5");
  EXPECT_EQ(Walk(Rules(plain), kFirst).Url(), "https://a.test/list?q=1&offset=0");
}

TEST(NumberedPages, CountPages) {
  const PageNumberPaging plain{.param = "page"};
  const PageNumberPaging sized{.param = "page", .start = 0, .page_size = 5};
  Check({
      {"no size", plain, kFirst, {.items = 1}, Next::kPage, "https://a.test/list?q=1&page=2"},
      {"empty", plain, kFirst, {.items = 0}, Next::kLast, ""},
      {"full page", sized, kFirst, {.items = 5}, Next::kPage, "https://a.test/list?q=1&page=1"},
      {"short page", sized, kFirst, {.items = 4}, Next::kLast, ""},
      {"overflow",
       PageNumberPaging{.param = "p", .start = UINT64_MAX},
       kFirst,
       {.items = 1},
       Next::kFailed,
       "",
       FailureCode::kPaginationLoop},
  });
  EXPECT_EQ(Walk(Rules(plain), kFirst).Url(), "https://a.test/list?q=1&page=1");
  EXPECT_EQ(Walk(Rules(sized), kFirst).Url(), "https://a.test/list?q=1&page=0");
}

TEST(Origins, AnotherOneIsRefusedUnlessAllowed) {
  const NextUrlPaging s{"/next"};
  for (const char* other :
       {"http://a.test/2", "https://b.test/2", "https://a.test:444/2", "//b.test/2", "https://a.test.b.test/2"}) {
    Check({{other, s, kFirst, {.value = String(other)}, Next::kFailed, "", FailureCode::kPageOriginProhibited},
           {other,
            LinkHeaderPaging{},
            kFirst,
            {.link = std::string("<") + other + ">; rel=next"},
            Next::kFailed,
            "",
            FailureCode::kPageOriginProhibited}});
  }
  Check({{"another host", s, kFirst, {.value = String("https://b.test/2")}, Next::kPage, "https://b.test/2"},
         {"another port", s, kFirst, {.value = String("https://a.test:444/2")}, Next::kPage, "https://a.test:444/2"},
         {"up to https", s, "http://a.test/", {.value = String("https://a.test/2")}, Next::kPage, "https://a.test/2"},
         {"down to http",
          s,
          kFirst,
          {.value = String("http://a.test/2")},
          Next::kFailed,
          "",
          FailureCode::kPageOriginProhibited}},
        /*allow_other_origins=*/true);
}

TEST(Origins, FailureNamesTheNextUrlWithoutItsSecrets) {
  Walk walk(Rules(NextUrlPaging{"/next"}), kFirst);
  const PageVerdict verdict = walk.Page({.value = String("https://b.test/2?token=secret")});
  EXPECT_EQ(verdict.url, "https://b.test/2?token=*");
  EXPECT_THAT(verdict.failure.detail, ::testing::Not(HasSubstr("secret")));
}

TEST(Origins, SecretsGoOnlyToTheFirst) {
  const Pagination pagination(Rules(LinkHeaderPaging{}), U(kFirst));
  EXPECT_TRUE(pagination.MaySendSecrets(U("https://a.test/other")));
  for (const char* other : {"http://a.test/", "https://b.test/", "https://a.test:8443/", "https://x.a.test/"}) {
    EXPECT_FALSE(pagination.MaySendSecrets(U(other))) << other;
  }
}

TEST(Loops, AnyPageSeenBeforeEndsTheList) {
  for (int length = 1; length <= 6; ++length) {
    for (int back = 0; back < length; ++back) {
      Walk walk(Rules(NextUrlPaging{"/next"}), "https://a.test/0");
      PageVerdict verdict;
      for (int i = 1; i < length; ++i) {
        verdict = walk.Page({.value = String("/" + std::to_string(i))});
        ASSERT_EQ(verdict.next, Next::kPage);
      }
      verdict = walk.Page({.value = String("/" + std::to_string(back))});
      EXPECT_EQ(verdict.next, Next::kFailed) << length << " back to " << back;
      EXPECT_EQ(verdict.failure.code, FailureCode::kPaginationLoop);
      EXPECT_EQ(verdict.failure.processed, Processed::kNo);
    }
  }
}

TEST(Loops, AreFoundAcrossResumedCallsToo) {
  // Each page is fetched by a call of its own, which knows nothing but the state.
  for (int tail = 1; tail <= 5; ++tail) {
    for (int cycle = 1; cycle <= 9; ++cycle) {
      const PagingRules rules = Rules(NextUrlPaging{"/next"});
      PagingState at = InitialPagingState(rules);
      int page = 0, fetched = 0;
      while (fetched < 200) {
        Pagination pagination(rules, U("https://a.test/0"));
        ++fetched;
        page = page + 1 < tail + cycle ? page + 1 : tail;
        const Url url = pagination.PageUrl(at).value();
        const PageVerdict verdict = pagination.Decide(
            at, {.url = url, .headers = {}, .value = String("/" + std::to_string(page)), .items = {}, .body_hash = {}});
        if (verdict.next == Next::kFailed) break;
        at = verdict.after;
      }
      EXPECT_LT(fetched, 4 * (tail + cycle)) << tail << " " << cycle;
    }
  }
}

TEST(IdenticalPages, EndCountedListsOnly) {
  for (const PagingStrategy& s : std::vector<PagingStrategy>{
           OffsetPaging{.param = "o", .start = 0, .limit = 0, .limit_param = ""}, PageNumberPaging{.param = "p"}}) {
    EXPECT_TRUE(Rules(s).WatchesForIdenticalPages());
    Walk walk(Rules(s), kFirst);
    EXPECT_EQ(walk.Page({.items = 3, .body_hash = 1}).next, Next::kPage);
    EXPECT_EQ(walk.Page({.items = 3, .body_hash = 2}).next, Next::kPage);
    EXPECT_EQ(walk.Page({.items = 3, .body_hash = 1}).next, Next::kPage) << "not twice in a row";
    const PageVerdict verdict = walk.Page({.items = 3, .body_hash = 1});
    EXPECT_EQ(verdict.next, Next::kRefused);
    EXPECT_EQ(verdict.failure.code, FailureCode::kPaginationLoop);
  }
  for (const PagingStrategy& s : std::vector<PagingStrategy>{
           LinkHeaderPaging{}, NextUrlPaging{"/n"}, CursorPaging{.pointer = "/c", .header = "", .param = "c"}}) {
    EXPECT_FALSE(Rules(s).WatchesForIdenticalPages());
  }
}

TEST(IdenticalPages, EmptyOnesJustEndTheList) {
  Walk walk(Rules(PageNumberPaging{.param = "p"}), kFirst);
  walk.at().last_body = 7;
  EXPECT_EQ(walk.Page({.items = 0, .body_hash = 7}).next, Next::kLast);
}

TEST(Limits, CountFromTheirBase) {
  PagingRules rules = Rules(LinkHeaderPaging{});
  rules.max_pages = 3;
  rules.max_items = 10;
  const Pagination pagination(rules, U(kFirst));
  PagingState at;
  EXPECT_EQ(pagination.ItemsAllowed(at), 10u);
  EXPECT_FALSE(pagination.PagesExhausted(at));
  at.pages = 3;
  at.items = 10;
  EXPECT_TRUE(pagination.PagesExhausted(at));
  EXPECT_TRUE(pagination.ItemsExhausted(at));
  at.pages_base = 1;
  at.items_base = 4;
  EXPECT_FALSE(pagination.PagesExhausted(at));
  EXPECT_EQ(pagination.ItemsAllowed(at), 4u);
  at.items = 20;
  EXPECT_EQ(pagination.ItemsAllowed(at), 0u);
  rules.max_items = 0;
  EXPECT_EQ(Pagination(rules, U(kFirst)).ItemsAllowed(at), std::numeric_limits<uint64_t>::max());
}

TEST(ValuePointer, IsTheStrategysOwn) {
  EXPECT_EQ(Rules(LinkHeaderPaging{}).ValuePointer(), std::nullopt);
  EXPECT_EQ(Rules(NextUrlPaging{"/n"}).ValuePointer(), "/n");
  EXPECT_EQ(Rules(CursorPaging{.pointer = "/c", .header = "", .param = "p"}).ValuePointer(), "/c");
  EXPECT_EQ(Rules(CursorPaging{.pointer = "", .header = "h", .param = "p"}).ValuePointer(), std::nullopt);
  EXPECT_EQ(Rules(OffsetPaging{}).ValuePointer(), std::nullopt);
  EXPECT_EQ(Rules(PageNumberPaging{}).ValuePointer(), std::nullopt);
}

}  // namespace
}  // namespace fetchd::server
