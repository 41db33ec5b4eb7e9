#include "fetch/json_items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Items(std::string_view body, std::string_view pointer) {
  absl::StatusOr<PageItems> page = ParsePage(body, pointer, std::nullopt);
  if (!page.ok()) return {std::string(page.status().message())};
  std::vector<std::string> items;
  for (const JsonSlice& item : page->items) items.emplace_back(item.In(body));
  return items;
}

JsonValue Value(std::string_view body, std::string_view pointer) {
  absl::StatusOr<PageItems> page = ParsePage(body, std::nullopt, pointer);
  EXPECT_TRUE(page.ok()) << body << ": " << page.status();
  return page.ok() ? page->value : JsonValue{JsonValue::Kind::kOther, "refused"};
}

TEST(JsonItems, AreSlicesByteForByte) {
  EXPECT_THAT(Items(R"([1e400,-0, 1.0 ,123456789012345678901234567890,0.1000,-1E+2])", ""),
              ElementsAre("1e400", "-0", "1.0", "123456789012345678901234567890", "0.1000", "-1E+2"));
  EXPECT_THAT(Items("[\"\\u00e4\\n\\/\\ud800\", \"\xc3\xa4\", \"\" ,true,false,null]", ""),
              ElementsAre("\"\\u00e4\\n\\/\\ud800\"", "\"\xc3\xa4\"", "\"\"", "true", "false", "null"));
  EXPECT_THAT(Items("{\"a\" : [\n {\"x\" :\t1 ,\r\n \"y\":[ ] } \n, [ [ ] , { } ]\n] }", "/a"),
              ElementsAre("{\"x\" :\t1 ,\r\n \"y\":[ ] }", "[ [ ] , { } ]"));
  EXPECT_THAT(Items(R"(["],[", "\\", "\"", "a\\\"b"])", ""),
              ElementsAre(R"("],[")", R"("\\")", R"("\"")", R"("a\\\"b")"));
}

TEST(JsonItems, AreFoundByPointer) {
  struct Row {
    const char* body;
    const char* pointer;
    std::vector<std::string> items;
  };
  const Row rows[] = {
      {"[]", "", {}},
      {" [ ] ", "", {}},
      {"[1]", "", {"1"}},
      {R"({"data":{"items":[1,2]}})", "/data/items", {"1", "2"}},
      {R"([0,[1,2]])", "/1", {"1", "2"}},
      {R"({"a/b":[1],"m~n":[2],"~1":[3],"":[4]," ":[5]})", "/a~1b", {"1"}},
      {R"({"a/b":[1],"m~n":[2],"~1":[3],"":[4]," ":[5]})", "/m~0n", {"2"}},
      {R"({"a/b":[1],"m~n":[2],"~1":[3],"":[4]," ":[5]})", "/~01", {"3"}},
      {R"({"a/b":[1],"m~n":[2],"~1":[3],"":[4]," ":[5]})", "/", {"4"}},
      {R"({"a/b":[1],"m~n":[2],"~1":[3],"":[4]," ":[5]})", "/ ", {"5"}},
      {R"({"":{"":[1]}})", "//", {"1"}},
      {R"({"0":[1]})", "/0", {"1"}},
      {"{\"\\u0061\":[1]}", "/a", {"1"}},
      {"{\"\xc3\xa4\":[1]}", "/\xc3\xa4", {"1"}},
      {"{\"\\ud83d\\ude00\":[1]}", "/\xf0\x9f\x98\x80", {"1"}},
      {R"({"a":[1],"a":[2]})", "/a", {"1"}},
      {R"({"a":{},"a":{"b":[2]},"c":0})", "/a", {"what the page has at the items pointer is not an array"}},
      {R"({"a":{"x":0},"a":{"b":[2]}})", "/a/b", {"the page has nothing at the items pointer"}},
      {R"({"b":{"a":[9]},"a":[1]})", "/a", {"1"}},
      {R"({"a":null})", "/a", {}},
      {R"({"a":5})", "/a", {"what the page has at the items pointer is not an array"}},
      {R"({"a":{}})", "/a", {"what the page has at the items pointer is not an array"}},
      {R"({"a":"[1]"})", "/a", {"what the page has at the items pointer is not an array"}},
      {R"({"a":[1]})", "/b", {"the page has nothing at the items pointer"}},
      {R"({"a":[1]})", "/a/1", {"the page has nothing at the items pointer"}},
      {R"([[1],[2]])", "/01", {"the page has nothing at the items pointer"}},
      {R"([[1],[2]])", "/-", {"the page has nothing at the items pointer"}},
      {R"([[1],[2]])", "/1e0", {"the page has nothing at the items pointer"}},
      {R"([[1],[2]])", "/99999999999999999999", {"the page has nothing at the items pointer"}},
      {R"("x")", "", {"what the page has at the items pointer is not an array"}},
      {"\xef\xbb\xbf[1, 2]", "", {"1", "2"}},
  };
  for (const Row& row : rows) EXPECT_EQ(Items(row.body, row.pointer), row.items) << row.body << " at " << row.pointer;
}

TEST(JsonItems, ReadsTheValueAtAPointer) {
  using Kind = JsonValue::Kind;
  struct Row {
    const char* body;
    const char* pointer;
    Kind kind;
    const char* text;
  };
  const Row rows[] = {
      {R"({"next":"abc"})", "/next", Kind::kString, "abc"},
      {R"({"next":"a\u0026b\/\t\u20ac\ud83d\ude00"})", "/next", Kind::kString, "a&b/\t\xe2\x82\xac\xf0\x9f\x98\x80"},
      {R"({"next":""})", "/next", Kind::kString, ""},
      {R"({"next": 1.50e3 })", "/next", Kind::kNumber, "1.50e3"},
      {R"({"next":18446744073709551616})", "/next", Kind::kNumber, "18446744073709551616"},
      {R"({"next":null})", "/next", Kind::kNull, ""},
      {R"({"next":false})", "/next", Kind::kOther, ""},
      {R"({"next":[]})", "/next", Kind::kOther, ""},
      {R"({"next":{}})", "/next", Kind::kOther, ""},
      {R"({"other":1})", "/next", Kind::kMissing, ""},
      {R"([1])", "/next", Kind::kMissing, ""},
      {R"({"next":1,"next":2})", "/next", Kind::kNumber, "1"},
      {R"({"a":[{"c":"x"},{"c":"y"}]})", "/a/1/c", Kind::kString, "y"},
      {R"("x")", "", Kind::kString, "x"},
      {" 5 ", "", Kind::kNumber, "5"},
  };
  for (const Row& row : rows) {
    const JsonValue value = Value(row.body, row.pointer);
    EXPECT_EQ(value.kind, row.kind) << row.body;
    EXPECT_EQ(value.text, row.text) << row.body;
  }
}

TEST(JsonItems, FindsItemsAndValueInOneWalk) {
  constexpr std::string_view kBody = R"({"items":[{"id":1},{"id":2}],"paging":{"next":"/2"}})";
  absl::StatusOr<PageItems> page = ParsePage(kBody, "/items", "/paging/next");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->items.size(), 2u);
  EXPECT_EQ(page->value.text, "/2");
  // The last item's own member, as APIs want it that continue after a key.
  page = ParsePage(kBody, "/items", "/items/1/id");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->items.size(), 2u);
  EXPECT_EQ(page->value.text, "2");
}

TEST(JsonItems, RefusesWhatIsNotJson) {
  const std::string rows[] = {
      "",
      "  \n",
      "\xef\xbb\xbf",
      "<html>",
      "{",
      "[",
      "]",
      "}",
      ",",
      ":",
      "[1,]",
      "[,1]",
      "[1 2]",
      "[1",
      "[1}",
      "{\"a\":1]",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\":1,}",
      "{,}",
      "{1:2}",
      "{a:1}",
      "{\"a\" 1}",
      "{\"a\":1 \"b\":2}",
      "[\"a\":1]",
      "[\"a\":1]]",
      "[[\"a\":1]]",
      "[1]]",
      "[1][2]",
      "[1],",
      "{} x",
      "1 2",
      "[01]",
      "[+1]",
      "[.5]",
      "[1.]",
      "[1.e1]",
      "[1e]",
      "[1e+]",
      "[-]",
      "[--1]",
      "[0x1]",
      "[NaN]",
      "[Infinity]",
      "[tru]",
      "[truex]",
      "[True]",
      "[nul]",
      "['a']",
      "[\"a]",
      "[\"a\"b\"]",
      "[\"a\" \"b\"]",
      "[\"a\"\"b\"]",
      "[\"a\"1]",
      "[1\"a\"]",
      "[\"\\x\"]",
      "[\"\\u12\"]",
      "[\"\\u12g4\"]",
      "[\"\\\"]",
      "[\"\n\"]",
      std::string("[\"\0\"]", 5),
      std::string("[1]\0", 4),
      "[\"\xff\"]",
      "[\"\xc0\xaf\"]",
      "[\"\xed\xa0\x80\"]",
      "[1]/* no comment */",
      "[1]//",
      "{\"a\\q\":1}",
  };
  for (const std::string& row : rows) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParsePage(row, std::nullopt, std::nullopt).status())) << row;
    EXPECT_TRUE(absl::IsInvalidArgument(ParsePage(row, "", "/a").status())) << row;
  }
}

TEST(JsonItems, EachCutOfAPageIsRefused) {
  const std::string page = R"({"items": [{"id":1,"n":-1.5e3,"s":"\u00e4\\"}, [true,false,null]], "next": "x"})";
  ASSERT_TRUE(ParsePage(page, "/items", "/next").ok());
  for (size_t n = 0; n < page.size(); ++n) {
    EXPECT_FALSE(ParsePage(std::string_view(page).substr(0, n), "/items", "/next").ok()) << n;
  }
}

// simdjson's usual entry points want padding behind the text; the one used here must not need it.
TEST(JsonItems, NothingIsReadBehindTheBody) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  char* const end = static_cast<char*>(memory) + page;
  ASSERT_EQ(mprotect(end, page, PROT_NONE), 0);
  for (size_t n = 0; n < 200; ++n) {
    const std::string body = "[\"" + std::string(n, 'x') + "\",12]";
    std::memcpy(end - body.size(), body.data(), body.size());
    EXPECT_EQ(Items({end - body.size(), body.size()}, "").size(), 2u);
    EXPECT_FALSE(ParsePage({end - body.size(), body.size() - 1}, "", std::nullopt).ok());
    std::memcpy(end - n, body.data(), n);
    EXPECT_FALSE(ParsePage({end - n, n}, "", std::nullopt).ok());
  }
  munmap(memory, 2 * page);
}

TEST(JsonItems, SaysWhereThePageIsBroken) {
  EXPECT_THAT(std::string(ParsePage("{\"a\": [1,\n x]}", "/a", std::nullopt).status().message()),
              HasSubstr("a malformed value at byte 11"));
}

TEST(JsonItems, HalfASurrogatePairIsNoNextPage) {
  EXPECT_FALSE(ParsePage(R"({"next":"\ud800"})", std::nullopt, "/next").ok());
  EXPECT_FALSE(ParsePage(R"({"next":"\ud800\u0041"})", std::nullopt, "/next").ok());
  EXPECT_FALSE(ParsePage(R"({"next":"\udc00"})", std::nullopt, "/next").ok());
}

TEST(JsonItems, NestingIsBounded) {
  auto nested = [](size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); };
  EXPECT_TRUE(ParsePage(nested(256), "", std::nullopt).ok());
  EXPECT_FALSE(ParsePage(nested(257), "", std::nullopt).ok());
  EXPECT_FALSE(ParsePage(std::string(1'000'000, '['), "", std::nullopt).ok());
}

TEST(JsonItems, HugeArraysAreFine) {
  std::string body = "[0";
  for (int i = 1; i < 300'000; ++i) body += ",0";
  body += "]";
  absl::StatusOr<PageItems> page = ParsePage(body, "", std::nullopt);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->items.size(), 300'000u);
  EXPECT_EQ(page->items.back().In(body), "0");
}

TEST(SelectJson, GivesTheSliceOfWhatThePointerLeadsTo) {
  const std::string body = " {\"a\" : [ 1.50 , {\"b\":\"\\ud800\"} ] , \"a\":2, \"n\":null , \"\": -0 }\n";
  const struct {
    const char* pointer;
    std::optional<std::string_view> slice;
  } rows[] = {
      {"/a", "[ 1.50 , {\"b\":\"\\ud800\"} ]"},
      {"/a/0", "1.50"},
      {"/a/1", "{\"b\":\"\\ud800\"}"},
      // Half of a surrogate pair is only a slice here.
      {"/a/1/b", "\"\\ud800\""},
      {"/n", "null"},
      {"/", "-0"},
      {"/a/2", std::nullopt},
      {"/a/-", std::nullopt},
      {"/n/0", std::nullopt},
      {"/x", std::nullopt},
  };
  for (const auto& row : rows) {
    for (const std::string& text : {body, "\xef\xbb\xbf" + body}) {
      const auto slice = SelectJson(text, "the body", row.pointer);
      ASSERT_TRUE(slice.ok()) << slice.status();
      ASSERT_EQ(slice->has_value(), row.slice.has_value()) << row.pointer;
      if (row.slice) {
        EXPECT_EQ((*slice)->In(text), *row.slice);
      }
    }
  }
  const auto whole = SelectJson(body, "the body", "");
  EXPECT_EQ((*whole)->In(body), std::string_view(body).substr(1, body.size() - 2));
  EXPECT_FALSE(SelectJson(body, "the body", std::nullopt)->has_value());
}

TEST(SelectJson, ChecksAllOfTheDocument) {
  EXPECT_EQ(SelectJson("", "the body", "").status().message(), "the body is empty");
  for (const char* bad : {"{", "[1,]", "{\"a\":1} x", "{\"a\":1,\"b\":tru}", "<html>"}) {
    const auto slice = SelectJson(bad, "the body", "/a");
    EXPECT_TRUE(absl::IsInvalidArgument(slice.status())) << bad;
    EXPECT_TRUE(absl::StartsWith(slice.status().message(), "the body is not JSON")) << slice.status();
  }
}

TEST(JsonPointer, IsValidated) {
  for (const char* good : {"", "/", "/a/b", "/a~0~1b", "/0", "//"}) EXPECT_TRUE(ValidateJsonPointer(good).ok()) << good;
  for (const char* bad : {"a", "#/a", "/~", "/a~2", "/~/b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ValidateJsonPointer(bad))) << bad;
  }
  EXPECT_TRUE(ValidateJsonPointer("/" + std::string(1023, 'a')).ok());
  EXPECT_FALSE(ValidateJsonPointer("/" + std::string(1024, 'a')).ok());
}

}  // namespace
}  // namespace fetchd::server
