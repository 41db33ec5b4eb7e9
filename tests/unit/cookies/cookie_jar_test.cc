#include "cookies/cookie_jar.h"

#include <gtest/gtest.h>

#include <string>

#include "cookies/public_suffix.h"

namespace fetchd::server {
namespace {

using std::chrono::seconds;

const WallTime kNow{seconds(1'700'000'000)};

Url U(std::string_view text) { return *Url::Parse(text); }

class Jar {
 public:
  bool Set(std::string_view url, std::string_view field, int64_t at = 0) {
    const auto cookie = ParseSetCookie(field, kNow + seconds(at));
    return cookie && jar.Add(*cookie, U(url), kNow + seconds(at));
  }
  std::string Get(std::string_view url, int64_t at = 0) { return jar.HeaderFor(U(url), kNow + seconds(at)); }
  CookieJar jar;
};

// Section 5.1.3.
TEST(CookieJar, DomainMatch) {
  struct Row {
    const char* url;
    const char* domain;
    bool matches;
  };
  const Row rows[] = {{"http://example.com/", "example.com", true},
                      {"http://a.example.com/", "example.com", true},
                      {"http://a.b.example.com/", "example.com", true},
                      {"http://example.com/", "a.example.com", false},
                      {"http://badexample.com/", "example.com", false},
                      {"http://example.com.test/", "example.com", false},
                      {"http://1.2.3.4/", "1.2.3.4", true},
                      {"http://1.2.3.4/", "3.4", false},
                      {"http://[::1]/", "::1", true},
                      {"http://example.com/", "com", true}};
  for (const Row& row : rows) EXPECT_EQ(DomainMatches(U(row.url), row.domain), row.matches) << row.url << row.domain;
}

// Section 5.1.4.
TEST(CookieJar, PathMatch) {
  struct Row {
    const char* request;
    const char* cookie;
    bool matches;
  };
  const Row rows[] = {{"/", "/", true},     {"/a", "/", true},    {"/a", "/a", true},     {"/a/", "/a", true},
                      {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a", "/a/", false},   {"/a/b", "/a/", true},
                      {"/A", "/a", false},  {"/", "/a", false},   {"/a/b", "/a/b", true}, {"/a/bc", "/a/b", false}};
  for (const Row& row : rows) EXPECT_EQ(PathMatches(row.request, row.cookie), row.matches) << row.request << row.cookie;
}

TEST(CookieJar, DefaultPath) {
  const std::pair<const char*, const char*> rows[] = {{"http://h/", "/"},       {"http://h", "/"},
                                                      {"http://h/a", "/"},      {"http://h/a/", "/a"},
                                                      {"http://h/a/b", "/a"},   {"http://h/a/b/?c=/d/e", "/a/b"},
                                                      {"http://h/?x=/a/b", "/"}};
  for (const auto& [url, path] : rows) EXPECT_EQ(DefaultPath(U(url)), path) << url;
}

TEST(CookieJar, HostOnlyAndDomainCookies) {
  Jar jar;
  EXPECT_TRUE(jar.Set("http://www.example.com/", "host=1"));
  EXPECT_TRUE(jar.Set("http://www.example.com/", "domain=2; Domain=example.com"));
  EXPECT_FALSE(jar.Set("http://www.example.com/", "x=3; Domain=other.com"));
  EXPECT_FALSE(jar.Set("http://www.example.com/", "x=3; Domain=a.www.example.com"));
  EXPECT_EQ(jar.Get("http://www.example.com/"), "host=1; domain=2");
  EXPECT_EQ(jar.Get("http://a.www.example.com/"), "domain=2");
  EXPECT_EQ(jar.Get("http://example.com/"), "domain=2");
  EXPECT_EQ(jar.Get("http://example.org/"), "");
  // Ports do not part cookies.
  EXPECT_EQ(jar.Get("http://www.example.com:8080/"), "host=1; domain=2");
}

TEST(CookieJar, PublicSuffixes) {
  for (const char* suffix : {"com", "co.uk", "github.io", "test", "localhost", "com."})
    EXPECT_TRUE(IsPublicSuffix(suffix)) << suffix;
  for (const char* name : {"example.com", "example.co.uk", "me.github.io", "www.ck", "1.2.3.4"})
    EXPECT_FALSE(IsPublicSuffix(name)) << name;
  Jar jar;
  EXPECT_FALSE(jar.Set("http://example.com/", "a=1; Domain=com"));
  EXPECT_FALSE(jar.Set("http://example.co.uk/", "a=1; Domain=co.uk"));
  EXPECT_FALSE(jar.Set("http://me.github.io/", "a=1; Domain=github.io"));
  // The host itself may set one, for itself alone.
  EXPECT_TRUE(jar.Set("http://github.io/", "a=1; Domain=github.io"));
  EXPECT_EQ(jar.Get("http://github.io/"), "a=1");
  EXPECT_EQ(jar.Get("http://me.github.io/"), "");
  EXPECT_TRUE(jar.Set("http://localhost/", "a=2; Domain=localhost"));
  EXPECT_EQ(jar.Get("http://localhost/"), "a=2");
  EXPECT_TRUE(jar.Set("http://127.0.0.1/", "a=3; Domain=127.0.0.1"));
  EXPECT_EQ(jar.Get("http://127.0.0.1/"), "a=3");
}

TEST(CookieJar, Secure) {
  Jar jar;
  EXPECT_FALSE(jar.Set("http://example.com/", "a=1; Secure"));
  EXPECT_TRUE(jar.Set("https://example.com/", "a=1; Secure"));
  EXPECT_EQ(jar.Get("https://example.com/"), "a=1");
  EXPECT_EQ(jar.Get("http://example.com/"), "");
  // Nor can http put another one before it, above, below or beside, or delete it.
  EXPECT_FALSE(jar.Set("http://example.com/", "a=2"));
  EXPECT_FALSE(jar.Set("http://example.com/", "a=; Max-Age=0"));
  EXPECT_FALSE(jar.Set("http://www.example.com/", "a=2; Domain=example.com"));
  EXPECT_FALSE(jar.Set("http://www.example.com/", "a=2"));
  EXPECT_FALSE(jar.Set("http://example.com/login/", "a=2; Path=/login"));
  EXPECT_TRUE(jar.Set("http://example.com/", "b=2"));
  EXPECT_EQ(jar.Get("https://example.com/"), "a=1; b=2");
  // A path that does not match the secure cookie's own.
  EXPECT_TRUE(jar.Set("https://example.com/", "c=1; Secure; Path=/login"));
  EXPECT_TRUE(jar.Set("http://example.com/", "c=2; Path=/"));
  EXPECT_TRUE(jar.Set("https://example.com/", "a=3"));
  EXPECT_EQ(jar.Get("http://example.com/"), "a=3; b=2; c=2");
}

TEST(CookieJar, Prefixes) {
  struct Row {
    const char* url;
    const char* field;
    bool kept;
  };
  const Row rows[] = {{"https://www.example.com/", "__Secure-a=1; Secure", true},
                      {"https://www.example.com/", "__Secure-a=1; Secure; Domain=example.com", true},
                      {"https://www.example.com/", "__Secure-a=1", false},
                      {"https://www.example.com/", "__SECURE-a=1", false},
                      {"http://www.example.com/", "__Secure-a=1; Secure", false},
                      {"https://www.example.com/", "__Host-a=1; Secure; Path=/", true},
                      {"https://www.example.com/", "__Host-a=1; Secure", false},
                      {"https://www.example.com/", "__Host-a=1; Path=/", false},
                      {"https://www.example.com/", "__Host-a=1; Secure; Path=/a", false},
                      {"https://www.example.com/", "__Host-a=1; Secure; Path=/; Domain=www.example.com", false},
                      {"https://www.example.com/", "__hOST-a=1; Secure; Path=/; Domain=example.com", false},
                      {"https://www.example.com/", "=__Host-a=1; Secure; Path=/", false},
                      {"https://www.example.com/", "__Secure-a", false},
                      {"https://www.example.com/", "=a", true}};
  for (const Row& row : rows) {
    Jar jar;
    EXPECT_EQ(jar.Set(row.url, row.field), row.kept) << row.url << " " << row.field;
  }
}

TEST(CookieJar, OrderAndNamelessOnes) {
  Jar jar;
  jar.Set("http://example.com/", "old=1; Path=/");
  jar.Set("http://example.com/", "new=2; Path=/");
  jar.Set("http://example.com/", "deep=3; Path=/a/b");
  jar.Set("http://example.com/", "mid=4; Path=/a");
  jar.Set("http://example.com/", "nameless");
  EXPECT_EQ(jar.Get("http://example.com/a/b/c"), "deep=3; mid=4; old=1; new=2; nameless");
  // A cookie keeps its place when it is set anew.
  jar.Set("http://example.com/", "old=5; Path=/");
  jar.Set("http://example.com/", "=other");
  EXPECT_EQ(jar.Get("http://example.com/"), "old=5; new=2; other");
}

TEST(CookieJar, Expiry) {
  Jar jar;
  jar.Set("http://example.com/", "a=1; Max-Age=10");
  jar.Set("http://example.com/", "b=2");
  EXPECT_EQ(jar.Get("http://example.com/", 9), "a=1; b=2");
  EXPECT_EQ(jar.Get("http://example.com/", 10), "b=2");
  EXPECT_EQ(jar.jar.size(), 1u);
  EXPECT_TRUE(jar.Set("http://example.com/", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 10));
  EXPECT_EQ(jar.Get("http://example.com/", 10), "");
  EXPECT_EQ(jar.jar.size(), 0u);
  EXPECT_EQ(jar.jar.bytes(), 0u);
}

TEST(CookieJar, CookiesOfADomainAreCapped) {
  Jar jar;
  jar.Set("https://example.com/", "secure=1; Secure");
  for (size_t i = 1; i < CookieJar::kMaxPerDomain; ++i) jar.Set("https://example.com/", "c" + std::to_string(i) + "=v");
  EXPECT_EQ(jar.jar.size(), CookieJar::kMaxPerDomain);
  // The oldest that is not Secure goes.
  jar.Set("https://example.com/", "one_more=v");
  EXPECT_EQ(jar.jar.size(), CookieJar::kMaxPerDomain);
  const std::string all = jar.Get("https://example.com/");
  EXPECT_NE(all.find("secure=1"), all.npos);
  EXPECT_NE(all.find("one_more=v"), all.npos);
  EXPECT_NE(all.find("c2=v"), all.npos);
  EXPECT_EQ(all.find("c1=v"), all.npos);
}

TEST(CookieJar, CookiesInAllAreCapped) {
  Jar jar;
  for (size_t i = 0; i <= CookieJar::kMaxCookies; ++i)
    jar.Set("http://h" + std::to_string(i) + ".example.com/", "a=" + std::to_string(i));
  EXPECT_EQ(jar.jar.size(), CookieJar::kMaxCookies);
  EXPECT_EQ(jar.Get("http://h0.example.com/"), "");
  EXPECT_EQ(jar.Get("http://h1.example.com/"), "a=1");
}

TEST(CookieJar, AHeaderIsCapped) {
  Jar jar;
  for (int i = 0; i < 6; ++i) jar.Set("http://example.com/", "c" + std::to_string(i) + "=" + std::string(4000, 'v'));
  const std::string header = jar.Get("http://example.com/");
  EXPECT_LE(header.size(), CookieJar::kMaxHeader);
  EXPECT_TRUE(header.starts_with("c0="));
  EXPECT_NE(header.find("c3="), header.npos);
  EXPECT_EQ(header.find("c4="), header.npos);
}

}  // namespace
}  // namespace fetchd::server
