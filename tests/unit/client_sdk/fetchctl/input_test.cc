#include "fetchctl/input.h"

#include <sstream>

#include "gtest/gtest.h"

namespace fetchd::fetchctl {
namespace {

TEST(ParseBatch, OneRequestPerLineOnTopOfWhatIsCommon) {
  v1::FetchRequest common;
  common.add_headers()->set_name("accept");
  const auto requests = ParseBatch(
      "https://a.example/\n"
      "\n"
      "# a remark\n"
      "  b.example/x \r\n"
      R"({"url": "https://c.example/", "method": "PUT", "headers": [{"name": "x-c", "value": "MQ=="}]})",
      common);
  ASSERT_TRUE(requests.ok()) << requests.status();
  ASSERT_EQ(requests->size(), 3u);
  EXPECT_EQ((*requests)[0].url(), "https://a.example/");
  EXPECT_EQ((*requests)[1].url(), "http://b.example/x");
  EXPECT_EQ((*requests)[1].headers_size(), 1);
  EXPECT_EQ((*requests)[2].method(), "PUT");
  EXPECT_EQ((*requests)[2].headers_size(), 2);
  EXPECT_EQ((*requests)[2].headers(1).value(), "1");
}

TEST(ParseBatch, NamesTheBadLine) {
  const auto requests = ParseBatch("https://a.example/\n{\"urll\": 1}\n", {});
  EXPECT_EQ(requests.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(requests.status().message().substr(0, 8), "line 2: ");
}

class InputTest : public testing::Test {
 protected:
  std::istringstream in_{"from stdin"};
  std::ostringstream out_, err_;
  Terminal terminal_{in_, out_, err_};
};

TEST_F(InputTest, DataIsJoinedByAmpersandsAndReadsFiles) {
  EXPECT_EQ(*JoinData({}, terminal_), "");
  EXPECT_EQ(*JoinData({"a=1", "b=2"}, terminal_), "a=1&b=2");
  EXPECT_EQ(*JoinData({"a=1", "@-"}, terminal_), "a=1&from stdin");
}

TEST_F(InputTest, UnreadableFilesAreNamed) {
  EXPECT_EQ(JoinData({"@/nonexistent"}, terminal_).status(), absl::NotFoundError("cannot read /nonexistent"));
  EXPECT_EQ(ReadAll("/", terminal_).status(), absl::NotFoundError("cannot read /"));
  EXPECT_EQ(*ReadAll("/dev/null", terminal_), "");
}

}  // namespace
}  // namespace fetchd::fetchctl
