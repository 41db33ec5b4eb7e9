#include "policy/patterns.h"

#include <gtest/gtest.h>

#include <string>

namespace fetchd::server {
namespace {

TEST(CheckHostPattern, TakesHostsAsUrlsHaveThem) {
  for (const char* good : {"*", "h", "api.example.com", "*.example.com", "*.com", "192.0.2.1", "2001:db8::1", "a_b.c"})
    EXPECT_TRUE(CheckHostPattern(good).ok()) << good << ": " << CheckHostPattern(good);
}

TEST(CheckHostPattern, RefusesWhatCouldNeverMatch) {
  for (const char* bad : {"",
                          "*.",
                          "**",
                          "*.*.com",
                          "a.*.com",
                          "a*",
                          "*a.com",
                          "API.example.com",
                          "*.Example.com",
                          "h:80",
                          "[::1]",
                          "2001:db8:0::1",
                          "http://h",
                          "h/",
                          "user@h",
                          "h ",
                          "127.1",
                          "0x7f.0.0.1",
                          "2130706433",
                          "256.1.1.1",
                          "-a.com",
                          "*.192.0.2.1",
                          "a..b",
                          "*..b",
                          "::1::",
                          "\xc3\xa4.example.com"}) {
    const absl::Status status = CheckHostPattern(bad);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_FALSE(status.message().empty()) << bad;
  }
}

TEST(CheckHostPattern, SaysHowItIsWritten) {
  EXPECT_EQ(std::string(CheckHostPattern("[::1]").message()), "URLs have it as \"::1\"");
  EXPECT_EQ(std::string(CheckHostPattern("*.Example.com").message()), "URLs have it as \"*.example.com\"");
}

TEST(CallerPattern, HasAtMostOneStarAtAnEnd) {
  for (const char* good : {"a", "*", "batch-*", "*.internal", "CN with blanks", "spiffe://x/y", "::1"})
    EXPECT_TRUE(IsCallerPattern(good)) << good;
  for (const char* bad : {"", "**", "a*b", "*a*", "a\n"}) EXPECT_FALSE(IsCallerPattern(bad)) << bad;
  EXPECT_TRUE(IsCallerPattern(std::string(256, 'x')));
  EXPECT_FALSE(IsCallerPattern(std::string(257, 'x')));
}

TEST(CallerPattern, MatchesWholeNamesStartsAndEnds) {
  EXPECT_TRUE(MatchesCaller("a", "a"));
  EXPECT_FALSE(MatchesCaller("a", "ab"));
  EXPECT_TRUE(MatchesCaller("*", ""));
  EXPECT_TRUE(MatchesCaller("batch-*", "batch-1"));
  EXPECT_TRUE(MatchesCaller("batch-*", "batch-"));
  EXPECT_FALSE(MatchesCaller("batch-*", "batch"));
  EXPECT_TRUE(MatchesCaller("*.x", "a.x"));
  EXPECT_FALSE(MatchesCaller("*.x", "a.x.y"));
}

}  // namespace
}  // namespace fetchd::server
