#include "policy/resume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fetchd::server {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

ResponseHead Head(int status, const Fields& fields, std::optional<uint64_t> length = std::nullopt) {
  ResponseHead head{.status = status, .headers = {}, .content_length = length, .redirects = nullptr};
  for (const auto& [name, value] : fields) head.headers.Add(name, value);
  return head;
}

ResumePoint Point(const ResponseHead& head) {
  ResumePoint point;
  point.Keep(head);
  return point;
}

TEST(IsStrongEtagTest, KnowsStrongOnes) {
  for (const char* good : {"\"\"", "\"x\"", "\"5f3c-1a2b:gzip\"", "\"!#~\"", "\"\x80\xff\"", "\"W/\""})
    EXPECT_TRUE(IsStrongEtag(good)) << good;
  for (const char* bad : {"", "\"", "x", "W/\"x\"", "w/\"x\"", "\"x", "x\"", "\"a b\"", "\"a\"b\"", "\"\x7f\"",
                          "\"a\",\"b\"", "'x'", "\"a\t\""})
    EXPECT_FALSE(IsStrongEtag(bad)) << bad;
}

TEST(ResumePointTest, NeedsA200WithOneStrongEtag) {
  const ResumePoint point = Point(Head(200, {{"Server", "x"}, {"ETag", "\"v1\""}, {"Accept-Ranges", "bytes"}}, 10));
  EXPECT_TRUE(point.possible());
  EXPECT_EQ(point.etag(), "\"v1\"");
  EXPECT_EQ(point.content_coding(), "");
  EXPECT_EQ(point.length(), 10U);

  EXPECT_EQ(Point(Head(200, {{"etag", "\"v1\""}, {"content-encoding", "gzip"}})).content_coding(), "gzip");
  EXPECT_FALSE(ResumePoint().possible());
  EXPECT_FALSE(Point(Head(200, {})).possible());
  EXPECT_FALSE(Point(Head(200, {{"etag", "W/\"v1\""}})).possible());
  EXPECT_FALSE(Point(Head(200, {{"etag", "v1"}})).possible());
  EXPECT_FALSE(Point(Head(200, {{"etag", ""}})).possible());
  EXPECT_FALSE(Point(Head(206, {{"etag", "\"v1\""}})).possible());
  EXPECT_FALSE(Point(Head(404, {{"etag", "\"v1\""}})).possible());
  EXPECT_FALSE(Point(Head(200, {{"etag", "\"v1\""}, {"etag", "\"v1\""}})).possible());
  EXPECT_FALSE(Point(Head(200, {{"etag", "\"v1\""}, {"accept-ranges", "None"}})).possible());
  EXPECT_FALSE(Point(Head(200, {{"accept-ranges", "none"}, {"etag", "\"v1\""}})).possible());
  EXPECT_FALSE(
      Point(Head(200, {{"etag", "\"v1\""}, {"content-encoding", "gzip"}, {"content-encoding", "br"}})).possible());
}

TEST(ResumePointTest, HoldsTextUpToItsSize) {
  const std::string etag = "\"" + std::string(ResumePoint::kMaxText - 6, 'x') + "\"";
  EXPECT_TRUE(Point(Head(200, {{"etag", etag}, {"content-encoding", "gzip"}})).possible());
  EXPECT_EQ(Point(Head(200, {{"etag", etag}, {"content-encoding", "gzip"}})).etag(), etag);
  EXPECT_FALSE(Point(Head(200, {{"etag", etag}, {"content-encoding", "gzip2"}})).possible());
}

TEST(ResumePointTest, ForgetsTheHeadBefore) {
  ResumePoint point = Point(Head(200, {{"etag", "\"v1\""}}, 10));
  point.Keep(Head(200, {}));
  EXPECT_FALSE(point.possible());
  EXPECT_EQ(point.length(), std::nullopt);
}

TEST(ParseContentRangeTest, Reads) {
  EXPECT_EQ(ParseContentRange("bytes 0-0/1"), (ContentRange{0, 0, 1}));
  EXPECT_EQ(ParseContentRange("Bytes 5-9/10"), (ContentRange{5, 9, 10}));
  EXPECT_EQ(ParseContentRange("bytes 5-9/*"), (ContentRange{5, 9, std::nullopt}));
  EXPECT_EQ(ParseContentRange("bytes 0-18446744073709551614/18446744073709551615"),
            (ContentRange{0, UINT64_MAX - 1, UINT64_MAX}));
  for (const char* bad : {"",
                          "bytes",
                          "bytes ",
                          "bytes 5-9",
                          "bytes=5-9/10",
                          "bytes  5-9/10",
                          "items 5-9/10",
                          "bytes 9-5/10",
                          "bytes 5-10/10",
                          "bytes */10",
                          "bytes -5/10",
                          "bytes 5-/10",
                          "bytes 5-9/",
                          "bytes 5-9/x",
                          "bytes 5-9/10 ",
                          "bytes +5-9/10",
                          "bytes 5 -9/10",
                          "bytes 0-0/18446744073709551616",
                          "bytes 5/9-10",
                          "bytes 5-9/10,bytes 0-1/10"})
    EXPECT_EQ(ParseContentRange(bad), std::nullopt) << bad;
}

TEST(CheckContinuationTest, TakesOnlyTheRest) {
  const ResumePoint point = Point(Head(200, {{"etag", "\"v1\""}, {"content-encoding", "gzip"}}, 10));
  const Fields good = {{"etag", "\"v1\""}, {"content-encoding", "gzip"}, {"content-range", "bytes 4-9/10"}};
  EXPECT_EQ(CheckContinuation(point, 4, Head(206, good, 6)).verdict, "resumed");
  EXPECT_EQ(CheckContinuation(point, 4, Head(206, good, 6)).left, 6U);
  EXPECT_EQ(CheckContinuation(point, 4, Head(206, good)).verdict, "resumed");
  const struct {
    int status;
    Fields fields;
    std::optional<uint64_t> length;
    const char* verdict;
  } rows[] = {
      {200, {{"etag", "\"v1\""}}, 10, "changed"},
      {200, good, 6, "changed"},
      {206, {{"etag", "\"v2\""}, good[1], good[2]}, 6, "changed"},
      {206, {good[0], good[1], {"content-range", "bytes 4-10/11"}}, 7, "changed"},
      {206, {{"etag", "W/\"v1\""}, good[1], good[2]}, 6, "changed"},
      {206, {good[1], good[2]}, 6, "mismatch"},
      {206, {good[0], good[2]}, 6, "mismatch"},
      {206, {good[0], {"content-encoding", "br"}, good[2]}, 6, "mismatch"},
      {206, {good[0], good[1]}, 6, "mismatch"},
      {206, {good[0], good[1], {"content-type", "multipart/byteranges; boundary=x"}}, 6, "mismatch"},
      {206, {good[0], good[1], {"content-range", "bytes 3-9/10"}}, 7, "mismatch"},
      {206, {good[0], good[1], {"content-range", "bytes 5-9/10"}}, 5, "mismatch"},
      {206, {good[0], good[1], {"content-range", "bytes 0-9/10"}}, 10, "mismatch"},
      {206, {good[0], good[1], {"content-range", "bytes 4-8/10"}}, 5, "mismatch"},
      {206, {good[0], good[1], {"content-range", "bytes 4-9/*"}}, 6, "mismatch"},
      {206, {good[0], good[1], {"content-range", "bytes */10"}}, 6, "mismatch"},
      {206, {good[0], good[1], {"content-range", "items 4-9/10"}}, 6, "mismatch"},
      {206, {good[0], good[1], good[2], good[2]}, 6, "mismatch"},
      {206, {good[0], good[0], good[1], good[2]}, 6, "mismatch"},
      {206, good, 5, "mismatch"},
      {206, good, 7, "mismatch"},
      {416, {good[0], {"content-range", "bytes */10"}}, 0, "mismatch"},
      {304, good, 0, "mismatch"},
      {503, good, 6, "mismatch"},
  };
  for (const auto& row : rows) {
    const Continuation result = CheckContinuation(point, 4, Head(row.status, row.fields, row.length));
    EXPECT_EQ(result.verdict, row.verdict) << row.status << " " << testing::PrintToString(row.fields);
    EXPECT_FALSE(result.detail.empty());
    EXPECT_EQ(result.left, 0U);
  }
}

TEST(CheckContinuationTest, ALengthThatWasNotKnownMayBeAny) {
  const ResumePoint point = Point(Head(200, {{"etag", "\"v1\""}}));
  for (const char* range : {"bytes 4-9/10", "bytes 4-4/5", "bytes 4-999/1000"})
    EXPECT_EQ(CheckContinuation(point, 4, Head(206, {{"etag", "\"v1\""}, {"content-range", range}})).verdict,
              "resumed");
}

}  // namespace
}  // namespace fetchd::server
