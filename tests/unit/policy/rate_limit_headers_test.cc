#include "policy/rate_limit_headers.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/random.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Sun, 06 Nov 1994 08:49:37 GMT
const WallTime kNow = WallTime(seconds(784111777));

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

std::optional<Duration> Hold(int status, Fields fields, WallTime now = kNow) {
  Headers headers;
  for (auto [name, value] : fields) headers.Add(name, value);
  return ReadRateLimit(status, headers, now).hold;
}

TEST(RateLimitHeaders, SayNothingOnAPlainResponse) {
  EXPECT_EQ(Hold(200, {}), std::nullopt);
  EXPECT_EQ(Hold(429, {}), std::nullopt);
  EXPECT_EQ(Hold(200, {{"content-type", "text/plain"}, {"server-name", "123456789"}, {"x-ratelimit-limit", "5"}}),
            std::nullopt);
}

TEST(RateLimitHeaders, RetryAfterOf429And503InBothForms) {
  for (int status : {200, 301, 413, 428, 429, 430, 500, 502, 503, 504}) {
    std::optional<Duration> expected;
    if (status == 429 || status == 503) expected = seconds(10);
    EXPECT_EQ(Hold(status, {{"Retry-After", "10"}}), expected) << status;
  }
  EXPECT_EQ(Hold(429, {{"Retry-After", "Sun, 06 Nov 1994 08:49:42 GMT"}}), seconds(5));
  EXPECT_EQ(Hold(429, {{"Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"}}), std::nullopt);
  EXPECT_EQ(Hold(429, {{"Retry-After", "0"}}), std::nullopt);
  EXPECT_EQ(Hold(429, {{"Retry-After", "soon"}}), std::nullopt);
}

TEST(RateLimitHeaders, AMinuteAtMost) {
  for (auto [text, hold] : {std::pair{"59", seconds(59)}, std::pair{"60", seconds(60)}, std::pair{"61", seconds(60)},
                            std::pair{"99999999999999999999", seconds(60)}})
    EXPECT_EQ(Hold(503, {{"Retry-After", text}}), hold) << text;
  EXPECT_EQ(Hold(200, {{"RateLimit", R"("a";r=0;t=3600)"}}), seconds(60));
}

TEST(RateLimitHeaders, TheListOfTheDraft) {
  struct Row {
    std::string_view value;
    std::optional<Duration> hold;
  };
  for (const Row& row : {
           Row{R"("default";r=0;t=30)", seconds(30)},
           Row{R"("default";r=1;t=30)", std::nullopt},
           Row{R"("default";t=30;r=0)", seconds(30)},
           Row{R"("default"; r=0; t=30)", seconds(30)},
           Row{R"("a";r=50;t=3, "b";r=0;t=7, "c";r=0;t=5)", seconds(7)},
           Row{R"("with \"quotes\", and; more";r=0;t=2)", seconds(2)},
           Row{R"("p";r=0;t=4;pk=:cHsdsRa894==:)", seconds(4)},
           Row{R"("p";r=0;t=4;flag;other=?1;word=a/b)", seconds(4)},
           Row{"default;r=0;t=9", seconds(9)},
           Row{"100;r=0;t=9", seconds(9)},
           Row{R"("default";r=0;t=0)", std::nullopt},
           Row{R"("default";r=0;t=-5)", std::nullopt},
           Row{R"("default";r=0)", std::nullopt},
           Row{R"("default";t=30)", std::nullopt},
           Row{R"("default";r="0";t=30)", std::nullopt},
           // Malformed somewhere: ignored as a whole.
           Row{R"("a";r=0;t=7, "b)", std::nullopt},
           Row{R"("a";r=0;t=7,)", std::nullopt},
           Row{R"("a";r=0;t=7 "b";r=0;t=3)", std::nullopt},
           Row{R"("a";r=0;t=)", std::nullopt},
           Row{R"("a";r=0;t=1234567890123456)", std::nullopt},
           Row{R"("a";R=0;t=7)", std::nullopt},
           Row{R"("a\b";r=0;t=7)", std::nullopt},
           Row{"", std::nullopt},
           Row{";r=0;t=7", std::nullopt},
           Row{"(\"a\" \"b\");r=0;t=7", std::nullopt},
       })
    EXPECT_EQ(Hold(200, {{"RateLimit", row.value}}), row.hold) << row.value;
}

TEST(RateLimitHeaders, SeveralFieldLinesAreOneList) {
  EXPECT_EQ(Hold(200, {{"RateLimit", R"("a";r=0;t=3)"}, {"RateLimit", R"("b";r=0;t=8)"}}), seconds(8));
}

TEST(RateLimitHeaders, WithoutAResetThePolicyTellsTheInterval) {
  EXPECT_EQ(Hold(200, {{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"("b";q=1;w=50, "a";q=100;w=60)"}}),
            milliseconds(600));
  EXPECT_EQ(Hold(200, {{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"("b";q=1;w=50)"}}), std::nullopt);
  EXPECT_EQ(Hold(200, {{"RateLimit", R"("a";r=0)"}, {"RateLimit-Policy", R"("a";q=0;w=50)"}}), std::nullopt);
  EXPECT_EQ(Hold(200, {{"RateLimit", R"("a";r=0;t=2)"}, {"RateLimit-Policy", R"("a";q=1;w=50)"}}), seconds(2));
}

TEST(RateLimitHeaders, EarlierDrafts) {
  EXPECT_EQ(Hold(200, {{"RateLimit", "limit=10, remaining=0, reset=7"}}), seconds(7));
  EXPECT_EQ(Hold(200, {{"RateLimit", "limit=10,remaining=1,reset=7"}}), std::nullopt);
  EXPECT_EQ(Hold(200, {{"RateLimit", "limit=10, remaining=0, reset=7,"}}), std::nullopt);
  EXPECT_EQ(Hold(200, {{"RateLimit", "limit=10, remaining=0"}}), std::nullopt);
  EXPECT_EQ(Hold(200, {{"RateLimit-Limit", "10"}, {"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "7"}}), seconds(7));
  EXPECT_EQ(Hold(200, {{"RateLimit-Remaining", "1"}, {"RateLimit-Reset", "7"}}), std::nullopt);
}

TEST(RateLimitHeaders, XRateLimitInSecondsOrUnixTime) {
  struct Row {
    int status;
    std::string_view remaining, reset;
    std::optional<Duration> hold;
  };
  const WallTime now = WallTime(milliseconds(1'700'000'000'250));
  for (const Row& row : {
           Row{200, "0", "12", seconds(12)},
           Row{200, "1", "12", std::nullopt},
           Row{200, "0.0", "1.5", milliseconds(1500)},
           Row{200, "", "12", std::nullopt},
           Row{429, "", "12", seconds(12)},
           Row{429, "3", "12", std::nullopt},
           Row{200, "0", "0", std::nullopt},
           Row{200, "0", "-3", std::nullopt},
           Row{200, "0", "", std::nullopt},
           Row{200, "0", "12s", std::nullopt},
           Row{200, "none", "12", std::nullopt},
           Row{200, " 0 ", " 12 ", seconds(12)},
           Row{200, "0", "999999999", seconds(60)},
           Row{200, "0", "1000000000", std::nullopt},
           Row{200, "0", "1700000000", std::nullopt},
           Row{200, "0", "1700000001", milliseconds(750)},
           Row{200, "0", "1700000030", milliseconds(29750)},
           Row{200, "0", "1700000030250", seconds(30)},
           Row{200, "0", "999999999999999", seconds(60)},
           Row{200, "0", "1000000000000000", std::nullopt},
       }) {
    std::optional<Duration> hold =
        Hold(row.status, {{"X-RateLimit-Remaining", row.remaining}, {"X-RateLimit-Reset", row.reset}}, now);
    ASSERT_EQ(hold.has_value(), row.hold.has_value()) << row.remaining << " " << row.reset;
    // A unix time in a double is exact to a quarter of a microsecond.
    if (hold) {
      EXPECT_LE(std::chrono::abs(*hold - *row.hold), std::chrono::microseconds(1)) << row.reset;
    }
  }
}

TEST(RateLimitHeaders, TheMostExplicitFieldCounts) {
  Fields all = {{"X-RateLimit-Remaining", "0"},
                {"X-RateLimit-Reset", "40"},
                {"RateLimit", R"("a";r=0;t=30)"},
                {"Retry-After", "20"}};
  EXPECT_EQ(Hold(429, all), seconds(20));
  EXPECT_EQ(Hold(200, all), seconds(30));
  EXPECT_EQ(Hold(429, {{"Retry-After", "later"}, {"RateLimit", R"("a";r=0;t=30)"}}), seconds(30));
  EXPECT_EQ(Hold(429, {{"RateLimit", "??"}, {"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "40"}}), seconds(40));
  EXPECT_EQ(Hold(429, {{"Retry-After", "0"}, {"RateLimit", R"("a";r=0;t=30)"}}), std::nullopt) << "0 is an answer";
}

TEST(RateLimitHeaders, NoiseIsNeverMoreThanIgnored) {
  Random random(3);
  const std::string_view alphabet = "\"ab;=,rtqw0123 -.*:?()\\\t";
  const std::string seed_value = R"("a";r=0;t=30, "b";r=5;t=1)";
  for (int i = 0; i < 20000; ++i) {
    std::string value = seed_value;
    for (uint64_t n = random() % 4; n > 0; --n) value[random() % value.size()] = alphabet[random() % alphabet.size()];
    if (random() % 3 == 0) value.resize(random() % value.size());
    std::optional<Duration> hold =
        Hold(429, {{"RateLimit", value}, {"RateLimit-Policy", value}, {"Retry-After", value}});
    if (hold) {
      ASSERT_GT(*hold, Duration::zero()) << value;
      ASSERT_LE(*hold, seconds(60)) << value;
    }
  }
}

}  // namespace
}  // namespace fetchd::server
