#include "cookies/set_cookie.h"

#include <gtest/gtest.h>

#include <string>

namespace fetchd::server {
namespace {

using std::chrono::seconds;

const WallTime kNow{seconds(1'700'000'000)};

std::string Pair(std::string_view field) {
  const std::optional<SetCookie> cookie = ParseSetCookie(field, kNow);
  return cookie ? "[" + cookie->name + "][" + cookie->value + "]" : "ignored";
}

TEST(SetCookie, NamesAndValues) {
  const std::pair<std::string, const char*> rows[] = {{"a=b", "[a][b]"},
                                                      {"a=b; Path=/", "[a][b]"},
                                                      {" \ta \t= \tb\t ", "[a][b]"},
                                                      {"a=b=c", "[a][b=c]"},
                                                      {"a=", "[a][]"},
                                                      {"=b", "[][b]"},
                                                      {"b", "[][b]"},
                                                      {"a=\"b c\"", "[a][\"b c\"]"},
                                                      {"a b=c, d", "[a b][c, d]"},
                                                      {"a=b;", "[a][b]"},
                                                      {"a=\xc3\xa9", "[a][\xc3\xa9]"},
                                                      {"a=b\tc", "[a][b\tc]"},
                                                      {"", "ignored"},
                                                      {"=", "ignored"},
                                                      {" ; Path=/", "ignored"},
                                                      {"a=b\x01", "ignored"},
                                                      {std::string("a=b\0", 4), "ignored"},
                                                      {"a=b\x7f", "ignored"},
                                                      {"a=b; x=\x1f", "ignored"}};
  for (const auto& [field, expected] : rows) EXPECT_EQ(Pair(field), expected) << field;
}

TEST(SetCookie, SizeOfNameAndValue) {
  EXPECT_TRUE(ParseSetCookie("a=" + std::string(4095, 'v'), kNow));
  EXPECT_FALSE(ParseSetCookie("a=" + std::string(4096, 'v'), kNow));
  EXPECT_FALSE(ParseSetCookie(std::string(4097, 'n') + "=", kNow));
  // Attributes do not count.
  EXPECT_TRUE(ParseSetCookie("a=" + std::string(4095, 'v') + "; x=" + std::string(5000, 'x'), kNow));
}

TEST(SetCookie, Attributes) {
  const auto cookie = ParseSetCookie("a=b; DOMAIN=.Example.COM ; path=/x/y; Secure=no; httpOnly ; SameSite=lax", kNow);
  ASSERT_TRUE(cookie);
  EXPECT_EQ(cookie->domain, "example.com");
  EXPECT_EQ(cookie->path, "/x/y");
  EXPECT_TRUE(cookie->secure);
  EXPECT_TRUE(cookie->http_only);
  EXPECT_EQ(cookie->same_site, SetCookie::SameSite::kLax);
  EXPECT_FALSE(cookie->expires);
  const auto last = ParseSetCookie("a=b; Path=/1; Path=/2; Domain=x.test; Domain=; Path=relative", kNow);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->path, "");
  EXPECT_EQ(last->domain, "");
}

TEST(SetCookie, AnAttributeThatIsTooLongIsIgnored) {
  const std::string long_path = "/" + std::string(1023, 'p');
  EXPECT_EQ(ParseSetCookie("a=b; Path=" + long_path, kNow)->path, long_path);
  EXPECT_EQ(ParseSetCookie("a=b; Path=/p; Path=" + long_path + "p", kNow)->path, "/p");
}

TEST(SetCookie, Expiry) {
  const auto after = [](std::string_view attributes) -> std::optional<int64_t> {
    const auto cookie = ParseSetCookie("a=b; " + std::string(attributes), kNow);
    if (!cookie || !cookie->expires) return std::nullopt;
    return std::chrono::duration_cast<seconds>(*cookie->expires - kNow).count();
  };
  constexpr int64_t kMost = 400 * 86400;
  EXPECT_EQ(after("Max-Age=1"), 1);
  EXPECT_EQ(after("Max-Age=0"), 0);
  EXPECT_EQ(after("Max-Age=-1"), 0);
  EXPECT_EQ(after("Max-Age=" + std::to_string(kMost)), kMost);
  EXPECT_EQ(after("Max-Age=" + std::to_string(kMost + 1)), kMost);
  EXPECT_EQ(after("Max-Age=99999999999999999999999999"), kMost);
  for (const char* bad : {"Max-Age=", "Max-Age=-", "Max-Age=+1", "Max-Age=1.5", "Max-Age=1s", "Max-Age=abc"})
    EXPECT_EQ(after(bad), std::nullopt) << bad;
  // 1,700,000,000 is Tue, 14 Nov 2023 22:13:20.
  EXPECT_EQ(after("Expires=Tue, 14 Nov 2023 22:13:21 GMT"), 1);
  EXPECT_EQ(after("Expires=Thu, 01 Jan 1970 00:00:00 GMT"), -1'700'000'000);
  EXPECT_EQ(after("Expires=Fri, 31 Dec 9999 23:59:59 GMT"), kMost);
  EXPECT_EQ(after("Expires=tomorrow"), std::nullopt);
  // Max-Age counts, in whatever order.
  EXPECT_EQ(after("Max-Age=5; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), 5);
  EXPECT_EQ(after("Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5"), 5);
  EXPECT_EQ(after("Max-Age=5; Max-Age=7; Max-Age=x"), 7);
}

}  // namespace
}  // namespace fetchd::server
