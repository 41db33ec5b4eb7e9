#include "policy/retry_after.h"

#include <gtest/gtest.h>

namespace fetchd::server {
namespace {

using std::chrono::seconds;

// Sun, 06 Nov 1994 08:49:37 GMT
const WallTime kThen = WallTime(seconds(784111777));

TEST(RetryAfter, DeltaSeconds) {
  EXPECT_EQ(ParseRetryAfter("0", kThen), kThen);
  EXPECT_EQ(ParseRetryAfter("120", kThen), kThen + seconds(120));
  EXPECT_EQ(ParseRetryAfter(" 7 ", kThen), kThen + seconds(7));
  EXPECT_EQ(ParseRetryAfter("0000000000000000000000009", kThen), kThen + seconds(9));
}

TEST(RetryAfter, HugeDeltasAreCutToTenYears) {
  WallTime farthest = kThen + std::chrono::days(3650);
  EXPECT_EQ(ParseRetryAfter("315360000", kThen), farthest);
  EXPECT_EQ(ParseRetryAfter("315360001", kThen), farthest);
  EXPECT_EQ(ParseRetryAfter("99999999999999999999999999", kThen), farthest);
}

TEST(RetryAfter, ThreeDateForms) {
  WallTime now = kThen - seconds(10);
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", now), kThen);
  EXPECT_EQ(ParseRetryAfter("Sunday, 06-Nov-94 08:49:37 GMT", now), kThen);
  EXPECT_EQ(ParseRetryAfter("Sun Nov  6 08:49:37 1994", now), kThen);
}

TEST(RetryAfter, ADateInThePastIsNow) {
  WallTime now = kThen + seconds(10);
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", now), now);
}

TEST(RetryAfter, TwoDigitYearsMoreThanFiftyYearsAheadArePast) {
  EXPECT_EQ(ParseHttpDate("Tuesday, 01-Jan-30 00:00:00 GMT", kThen), std::nullopt);  // 1930, before the epoch
  WallTime in_2020 = WallTime(seconds(1577836800));
  EXPECT_EQ(ParseHttpDate("Tuesday, 01-Jan-30 00:00:00 GMT", in_2020), WallTime(seconds(1893456000)));
  EXPECT_EQ(ParseHttpDate("Sunday, 06-Nov-94 08:49:37 GMT", in_2020), kThen);
}

TEST(RetryAfter, MalformedIsNothing) {
  for (std::string_view bad :
       {"", " ", "-1", "1.5", "1s", "+3", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ,",
        "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 9999 08:49:37 GMT", "soon"}) {
    EXPECT_EQ(ParseRetryAfter(bad, kThen), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace fetchd::server
