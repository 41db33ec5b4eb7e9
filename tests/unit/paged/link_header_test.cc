#include "policy/link_header.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fetchd::server {
namespace {

struct Row {
  const char* what;
  std::vector<std::string> fields;
  std::optional<std::string> next;
};

TEST(LinkHeader, FindsTheTargetOfARelation) {
  const Row rows[] = {
      {"no header", {}, std::nullopt},
      {"empty header", {""}, std::nullopt},
      {"absolute", {"<https://a.test/p?page=2>; rel=\"next\""}, "https://a.test/p?page=2"},
      {"relative", {"</p?page=2>; rel=\"next\""}, "/p?page=2"},
      {"query only", {"<?page=2>; rel=\"next\""}, "?page=2"},
      {"empty target", {"<>; rel=next"}, ""},
      {"blanks inside the target's brackets", {"< /2 >; rel=next"}, "/2"},
      {"token", {"</2>; rel=next"}, "/2"},
      {"rel in another case", {"</2>; REL=\"NeXt\""}, "/2"},
      {"several links", {"</1>; rel=\"prev\", </3>; rel=\"next\", </9>; rel=\"last\""}, "/3"},
      {"several fields", {"</1>; rel=\"prev\"", "</3>; rel=\"next\""}, "/3"},
      {"the first of two", {"</3>; rel=next, </4>; rel=next"}, "/3"},
      {"list of relations", {"</3>; rel=\"last  next\tend\""}, "/3"},
      {"part of a relation's name", {"</3>; rel=\"next-archive nextish\""}, std::nullopt},
      {"other relations only", {"</1>; rel=prev"}, std::nullopt},
      {"no parameters", {"</1>"}, std::nullopt},
      {"only the first rel counts", {"</1>; rel=prev; rel=next"}, std::nullopt},
      {"rel without value", {"</1>; rel"}, std::nullopt},
      {"parameter without value", {"</2>; crossorigin; rel=next"}, "/2"},
      {"comma and semicolon in the target", {"</2?a=1,2;b>; rel=next"}, "/2?a=1,2;b"},
      {"comma, quote and bracket in a quoted value", {"</2>; title=\"a, \\\" <b>; rel=prev\"; rel=next"}, "/2"},
      {"blanks everywhere", {" \t<//b.test/2> ; rel = \"next\" ;  ; x=y , "}, "//b.test/2"},
      {"empty elements", {", ,</2>; rel=next,,"}, "/2"},
      {"extension relation", {"</2>; rel=\"https://e.test/rel next\""}, "/2"},
      {"URI without quotes", {"</1>; rel=https://e.test/rel, </2>; rel=next"}, "/2"},
      {"encoded title", {"</2>; title*=UTF-8''n%c3%a4chste; rel=next"}, "/2"},
      {"about another resource", {"</1>; rel=next; anchor=\"/other\", </2>; rel=next"}, "/2"},
      {"about this resource", {"</2>; rel=next; anchor=\"\""}, "/2"},
      {"rev is not rel", {"</1>; rev=next"}, std::nullopt},
  };
  for (const Row& row : rows) {
    Headers headers;
    headers.Add("content-type", "text/plain");
    for (const std::string& field : row.fields) headers.Add("Link", field);
    absl::StatusOr<std::optional<std::string>> found = FindLink(headers, "next");
    ASSERT_TRUE(found.ok()) << row.what << ": " << found.status();
    EXPECT_EQ(*found, row.next) << row.what;
  }
}

TEST(LinkHeader, LooksForAnyRelation) {
  Headers headers;
  headers.Add("link", "</1>; rel=next, </2>; rel=\"http://E.test/More\"");
  EXPECT_EQ(FindLink(headers, "http://e.test/more").value(), "/2");
}

TEST(LinkHeader, RefusesMalformedOnes) {
  const std::string rows[] = {
      "next",
      "https://a.test/2; rel=next",
      "</2; rel=next",
      "</2> rel=next",
      "</2>; rel=\"next",
      "</2>; rel=\"next\\",
      "</2>; =next",
      "</2>; rel=next, junk",
      "</2>; rel=ne\"xt\"",
      "</2>; rel=next <3>",
      "</2>; rel=next; (",
      std::string("</2>; rel=next\0, x", 18),
      "</1>; rel=next, <",
  };
  for (const std::string& row : rows) {
    Headers headers;
    headers.Add("link", row);
    const auto found = FindLink(headers, "next");
    EXPECT_TRUE(absl::IsInvalidArgument(found.status())) << row << " gave " << found.status();
  }
}

TEST(LinkHeader, BoundsItsSize) {
  const std::string link = "</2>; rel=next";
  Headers fits;
  fits.Add("link", link + std::string(kMaxLinkHeaderSize - link.size(), ','));
  EXPECT_EQ(FindLink(fits, "next").value(), "/2");
  Headers large;
  large.Add("link", link);
  large.Add("link", std::string(kMaxLinkHeaderSize - link.size() + 1, ','));
  EXPECT_TRUE(absl::IsInvalidArgument(FindLink(large, "next").status()));
}

TEST(LinkHeader, HostileOnesOfFullSizeAreAnswered) {
  for (std::string_view piece : {"<", "</2>;", "</2>;rel=\"", "</2>;a=\"\\\"\",", ";", "<>,", "</2>;rel=\"a a a\","}) {
    Headers headers;
    std::string text;
    while (text.size() + piece.size() <= kMaxLinkHeaderSize) text += piece;
    headers.Add("link", text);
    const auto found = FindLink(headers, "next");
    EXPECT_TRUE(found.ok() ? !found->has_value() : absl::IsInvalidArgument(found.status())) << piece;
  }
}

}  // namespace
}  // namespace fetchd::server
