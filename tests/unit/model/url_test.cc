#include "model/url.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

std::string Text(const absl::StatusOr<Url>& url) { return url.ok() ? url->text() : url.status().ToString(); }
std::string Parsed(std::string_view text) { return Text(Url::Parse(text)); }

TEST(Url, HasItsParts) {
  Url url = *Url::Parse("HTTPS://API.Example.com:8443/v1/Things?q=A%20b#frag");
  EXPECT_EQ(url.scheme(), Scheme::kHttps);
  EXPECT_EQ(url.host(), "api.example.com");
  EXPECT_EQ(url.port(), 8443);
  EXPECT_EQ(url.target(), "/v1/Things?q=A%20b");
  EXPECT_EQ(url.authority(), "api.example.com:8443");
  EXPECT_EQ(url.text(), "https://api.example.com:8443/v1/Things?q=A%20b");
  EXPECT_EQ(url.origin().ToString(), "https://api.example.com:8443");
  EXPECT_EQ(url.host_address(), std::nullopt);
}

// Boost.URL 1.81 reads this as the host 10.0.0.1 with the path ".nip.example/x".
TEST(Url, ANameThatBeginsLikeAnAddressIsAName) {
  Url url = *Url::Parse("http://10.0.0.1.nip.example/x");
  EXPECT_EQ(url.host(), "10.0.0.1.nip.example");
  EXPECT_EQ(url.host_address(), std::nullopt);
  EXPECT_EQ(url.target(), "/x");
}

TEST(Url, IpLiterals) {
  Url v4 = *Url::Parse("http://192.0.2.1/");
  EXPECT_EQ(v4.host_address()->ToString(), "192.0.2.1");
  Url v6 = *Url::Parse("http://[2001:DB8:0::1]:8080/x");
  EXPECT_EQ(v6.host_address()->ToString(), "2001:db8::1");
  EXPECT_EQ(v6.host(), "2001:db8::1");
  EXPECT_EQ(v6.authority(), "[2001:db8::1]:8080");
  EXPECT_EQ(v6.text(), "http://[2001:db8::1]:8080/x");
  EXPECT_EQ(v6.origin().ToString(), "http://[2001:db8::1]:8080");
}

TEST(Url, Normalises) {
  const char* rows[][2] = {
      {"http://example.com", "http://example.com/"},
      {"http://example.com?a=1", "http://example.com/?a=1"},
      {"http://example.com:80/", "http://example.com/"},
      {"https://example.com:443/", "https://example.com/"},
      {"https://example.com:80/", "https://example.com:80/"},
      {"http://example.com:/", "http://example.com/"},
      {"http://example.com:0080/", "http://example.com/"},
      {"http://example.com#f", "http://example.com/"},
      {"http://example.com/?", "http://example.com/?"},
      {"http://h/a/./b/../c", "http://h/a/c"},
      {"http://h/../../a", "http://h/a"},
      {"http://h/a/..", "http://h/"},
      {"http://h/a/b/.", "http://h/a/b/"},
      {"http://h/a//b/", "http://h/a//b/"},
      {"http://h/.", "http://h/"},
      {"http://h//x/../y", "http://h//y"},
      {"http://h/..a/...", "http://h/..a/..."},
      {"http://h/x?a=/../b", "http://h/x?a=/../b"},
      // Encodings stay as they are, byte for byte.
      {"http://h/%7eUser/%2e%2E/%2F?x=%7E", "http://h/%7eUser/%2e%2E/%2F?x=%7E"},
      {"http://h/a;p=1,2:3@x", "http://h/a;p=1,2:3@x"},
      {"http://ex_ample.com./", "http://ex_ample.com./"},
      {"http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"},
      {"http://1.2.3.example/", "http://1.2.3.example/"},
      {"http://0xabc.example/", "http://0xabc.example/"},
      {"http://10.0.0.1.nip.example/x", "http://10.0.0.1.nip.example/x"},
  };
  for (auto& row : rows) EXPECT_EQ(Parsed(row[0]), row[1]) << row[0];
}

TEST(Url, EncodesWhatPeoplePasteIntoPathsAndQueries) {
  EXPECT_EQ(Parsed("http://h/a|b?f={\"x\":[1]}&c=<d>^`\\"),
            "http://h/a%7Cb?f=%7B%22x%22:%5B1%5D%7D&c=%3Cd%3E%5E%60%5C");
  EXPECT_EQ(Parsed("http://h/[x]"), "http://h/%5Bx%5D");
}

TEST(Url, RefusesWithAReason) {
  struct Row {
    const char* text;
    const char* reason;
  } rows[] = {
      {"", "empty"},
      {"example.com/path", "absolute"},
      {"/path", "absolute"},
      {"//example.com/", "absolute"},
      {"localhost:8080/x", "absolute"},
      {"http:example.com", "//"},
      {"http:/example.com", "//"},
      {"http://", "host is empty"},
      {"http:///path", "host is empty"},
      {"http://:80/", "host is empty"},
      {"http://?x", "host is empty"},
      {"http://user@h/", "user info"},
      {"http://user:pw@h/", "user info"},
      {"http://good.example@evil.example/", "user info"},
      {"http://h\\@evil.example/", "user info"},
      {"http://h\\evil.example/", "backslash"},
      {"http://h/a b", "blank at byte 10"},
      {" http://h/", "blank at byte 0"},
      {"http://h/\n", "control character at byte 9"},
      {"http://h/\x7f", "control character"},
      {"http://h/\xc3\xa4", "non-ASCII character at byte 9"},
      {"http://b\xc3\xbc"
       "cher.example/",
       "punycode"},
      {"http://h/%", "%25"},
      {"http://h/%4", "%25"},
      {"http://h/?x=%zz", "%25"},
      {"http://h%41/", "percent-encoding"},
      {"http://h:0/", "port"},
      {"http://h:65536/", "port"},
      {"http://h:999999999999/", "port"},
      {"http://h:80a/", "port"},
      {"http://h:-1/", "port"},
      {"http://::1/", "brackets"},
      {"http://[::1/", "bracket"},
      {"http://[::1]x/", "port"},
      {"http://[::1]80/", "port"},
      {"http://[127.0.0.1]/", "IPv6"},
      {"http://[fe80::1%25eth0]/", "zone"},
      {"http://[v1.x]/", "IPv6"},
      {"http://127.1/", "IPv4"},
      {"http://2130706433/", "IPv4"},
      {"http://0x7f.1/", "IPv4"},
      {"http://0x7f000001/", "IPv4"},
      {"http://0177.0.0.1/", "IPv4"},
      {"http://127.0.0.1./", "IPv4"},
      {"http://256.1.1.1/", "IPv4"},
      {"http://1.2.3.4.5/", "IPv4"},
      {"http://foo.0x/", "IPv4"},
      {"http://a..b/", "empty label"},
      {"http://.a/", "empty label"},
      {"http://./", "empty label"},
      {"http://-a.example/", "hyphen"},
      {"http://a-.example/", "hyphen"},
      {"http://a!b/", "character"},
      {"http://a{b/", "character"},
  };
  for (const Row& row : rows) {
    auto url = Url::Parse(row.text);
    ASSERT_FALSE(url.ok()) << row.text << " became " << url->text();
    EXPECT_EQ(url.status().code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(std::string(url.status().message()), HasSubstr(row.reason)) << row.text;
  }
}

TEST(Url, RefusesWhatIsTooLong) {
  std::string label(63, 'a');
  EXPECT_TRUE(Url::Parse("http://" + label + ".example/").ok());
  EXPECT_THAT(Parsed("http://" + label + "a.example/"), HasSubstr("63"));
  std::string name = label + "." + label + "." + label + "." + std::string(61, 'b');
  EXPECT_TRUE(Url::Parse("http://" + name + "/").ok());
  EXPECT_THAT(Parsed("http://" + name + "b/"), HasSubstr("253"));
  std::string path(Url::kMaxSize - std::string("http://h/").size(), 'p');
  EXPECT_TRUE(Url::Parse("http://h/" + path).ok());
  EXPECT_THAT(Parsed("http://h/p" + path), HasSubstr("longer"));
  EXPECT_THAT(Parsed("http://h/" + std::string(Url::kMaxSize / 2, '|')), HasSubstr("longer"));
}

// A URL that is normal already is parsed on a short way. A scheme in capitals always takes the long way, and what comes
// of it must be the same in every part.
void ExpectBothWaysAgree(const std::string& scheme, const std::string& rest, int& accepted) {
  const auto plain = Url::Parse(scheme + rest);
  const auto thorough = Url::Parse((scheme == "http" ? "HTTP" : "HTTPS") + rest);
  SCOPED_TRACE(scheme + rest);
  ASSERT_EQ(plain.status(), thorough.status());
  if (!plain.ok()) return;
  ++accepted;
  EXPECT_EQ(plain->text(), thorough->text());
  EXPECT_EQ(plain->origin(), thorough->origin());
  EXPECT_EQ(plain->host_address(), thorough->host_address());
  EXPECT_EQ(plain->target(), thorough->target());
  EXPECT_EQ(plain->authority(), thorough->authority());
  EXPECT_EQ(plain->Redacted(), thorough->Redacted());
  // What is normal stays as it is.
  EXPECT_EQ(Parsed(plain->text()), plain->text());
}

TEST(Url, TheShortWayAndTheLongWayAgree) {
  const std::string label(63, 'a');
  const std::string name253 = label + "." + label + "." + label + "." + std::string(61, 'b');
  const std::vector<std::string> hosts = {"h",
                                          "example.com",
                                          "api-1.example.com",
                                          "ex_ample.com",
                                          "localhost",
                                          "a.b.c",
                                          "1.example",
                                          "a1.b2",
                                          "web-1",
                                          "a.1b",
                                          "a.0x1",
                                          "a.0xg",
                                          "a.0x",
                                          "0x7f.1",
                                          "a.1",
                                          "1",
                                          "127.1",
                                          "127.0.0.1",
                                          "10.0.0.1.nip.example",
                                          "010.0.0.1",
                                          "256.1.1.1",
                                          "1.2.3.4.5",
                                          "1.2.3.4.",
                                          "255.255.255.255",
                                          "example.com.",
                                          "Example.COM",
                                          "xn--bcher-kva.example",
                                          "",
                                          ".",
                                          "..",
                                          "a..b",
                                          ".a",
                                          "a.",
                                          "-a",
                                          "a-",
                                          "a-.b",
                                          "a.-b",
                                          "_a",
                                          "a!b",
                                          "a%41",
                                          "u@h",
                                          "u:p@h",
                                          "h\\",
                                          "a b",
                                          "[::1]",
                                          "[2001:DB8::1]",
                                          "[::ffff:1.2.3.4]",
                                          "[fe80::1%25e]",
                                          "[127.0.0.1]",
                                          "[::1",
                                          "::1",
                                          "[]",
                                          "h\xc3\xa4",
                                          label,
                                          label + "a",
                                          label + ".b",
                                          name253,
                                          name253 + "b",
                                          "h#x",
                                          "h?x"};
  const std::vector<std::string> ports = {"",       ":",      ":80", ":443",   ":8080", ":1",
                                          ":65535", ":65536", ":0",  ":00",    ":080",  ":99999999999999999999",
                                          ":-1",    ":+1",    ":8a", ":80:80", ":80@h", ": 80"};
  const std::vector<std::string> targets = {"",
                                            "/",
                                            "/a",
                                            "?",
                                            "?a=1",
                                            "/?",
                                            "/a?b=c&d=%20",
                                            "/a/./b",
                                            "/a/../b",
                                            "/.",
                                            "/..",
                                            "/.a",
                                            "/a.",
                                            "/..a/",
                                            "/a?/../b",
                                            "/a?b/./c",
                                            "//",
                                            "//x",
                                            "/a//b",
                                            "/%2e%2E/",
                                            "/%",
                                            "/%4",
                                            "/%4g",
                                            "/?%zz",
                                            "/%41",
                                            "/a|b",
                                            "/{}",
                                            "/[x]",
                                            "/a#f",
                                            "#f",
                                            "/a?b#c?d",
                                            "/#/..",
                                            "/a b",
                                            "/\t",
                                            "/\n",
                                            "/\r\n",
                                            std::string("/\0", 2),
                                            "/\x7f",
                                            "/\xc3\xa4",
                                            "/\\",
                                            "/\"",
                                            "/<>",
                                            "/^`",
                                            "/~!$&'()*+,;=:@-._",
                                            "/a?b?c",
                                            "\\a",
                                            ";a",
                                            "/" + std::string(8160, 'p'),
                                            "/" + std::string(8177, 'p'),
                                            "/" + std::string(8178, 'p'),
                                            "/" + std::string(8190, 'p'),
                                            "/" + std::string(4000, '|')};
  int accepted = 0, tried = 0;
  for (const std::string scheme : {"http", "https"}) {
    for (const std::string& host : hosts) {
      for (const std::string& port : ports) ExpectBothWaysAgree(scheme, "://" + host + port, accepted), ++tried;
      for (const std::string& target : targets) ExpectBothWaysAgree(scheme, "://" + host + target, accepted), ++tried;
    }
    for (const std::string& port : ports)
      for (const std::string& target : targets) ExpectBothWaysAgree(scheme, "://h" + port + target, accepted), ++tried;
    for (const std::string after : {"", ":", ":/", ":h", ":/h/", ":///h", ":// h", "s://h/", "//h/", ":\\\\h\\"})
      ExpectBothWaysAgree(scheme, after, accepted), ++tried;
  }
  EXPECT_GT(accepted, tried / 5);
  EXPECT_LT(accepted, tried);
}

// Damage at random places of URLs that are well-formed: any byte anywhere.
TEST(Url, TheShortWayAndTheLongWayAgreeOnDamagedUrls) {
  const std::string_view pieces = "abz09.-_:/?#[]@%2e%41|\\ \"<>{}^`~!$&'()*+,;=AZ\t\r\n\x7f\x80\xff";
  const std::string seeds[] = {"://api.example.com/v1/things?page=2&per_page=100", "://127.0.0.1:8080/0",
                               "://a-b.c_d.e1:81/x/y.z/%2F?q=%20&r", "://[2001:db8::1]:8443/"};
  std::mt19937 random(7);
  const auto number = [&random](size_t n) { return static_cast<size_t>(random()) % n; };
  int accepted = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string rest = seeds[number(std::size(seeds))];
    for (size_t damage = 1 + number(3); damage > 0; --damage) {
      const size_t at = number(rest.size());
      const char c = number(16) == 0 ? static_cast<char>(number(256)) : pieces[number(pieces.size())];
      switch (number(3)) {
        case 0:
          rest[at] = c;
          break;
        case 1:
          rest.insert(at, 1, c);
          break;
        default:
          rest.erase(at, 1);
      }
    }
    ExpectBothWaysAgree(number(2) == 0 ? "http" : "https", rest, accepted);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_LT(accepted, 9000);
}

TEST(Url, OtherSchemesAreForbiddenRatherThanMalformed) {
  for (const char* text : {"ftp://h/", "file:///etc/passwd", "gopher://h/", "javascript:alert(1)", "mailto:a@b"}) {
    EXPECT_EQ(Url::Parse(text).status().code(), absl::StatusCode::kPermissionDenied) << text;
  }
}

// RFC 3986 section 5.4, with http where the base has it.
TEST(Url, ResolvesReferences) {
  Url base = *Url::Parse("http://a/b/c/d;p?q");
  const char* rows[][2] = {
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q"},
      {"g#s", "http://a/b/c/g"},
      {"g?y#s", "http://a/b/c/g?y"},
      {";x", "http://a/b/c/;x"},
      {"g;x", "http://a/b/c/g;x"},
      {"g;x?y#s", "http://a/b/c/g;x?y"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../..", "http://a/"},
      {"../../", "http://a/"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"../../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},
      {".g", "http://a/b/c/.g"},
      {"g..", "http://a/b/c/g.."},
      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},
      {"./g/.", "http://a/b/c/g/"},
      {"g/./h", "http://a/b/c/g/h"},
      {"g/../h", "http://a/b/c/h"},
      {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"g?y/./x", "http://a/b/c/g?y/./x"},
      {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"https://other:8443/x", "https://other:8443/x"},
      {"HTTP://other", "http://other/"},
      // A colon after a slash or question mark makes no scheme.
      {"./x:y", "http://a/b/c/x:y"},
      {"/x:y", "http://a/x:y"},
      {"?x:y", "http://a/b/c/d;p?x:y"},
      // What origins send and browsers put up with.
      {"  /g \r\n", "http://a/g"},
      {"/a b", "http://a/a%20b"},
      {"/\xc3\xa4", "http://a/%C3%A4"},
      {"?p=50%", "http://a/b/c/d;p?p=50%25"},
  };
  for (auto& row : rows) EXPECT_EQ(Text(base.Resolve(row[0])), row[1]) << "'" << row[0] << "'";
  EXPECT_EQ(base.Resolve("ftp://h/").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(base.Resolve("http://user@h/").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base.Resolve("//").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Url, ReplacesQueryParameters) {
  auto with = [](const char* url, const char* name, const char* value, bool drop = false) {
    return Text(Url::Parse(url)->WithQueryParam(name, value, drop));
  };
  EXPECT_EQ(with("http://h/p", "a", "1"), "http://h/p?a=1");
  EXPECT_EQ(with("http://h/p?", "a", "1"), "http://h/p?a=1");
  EXPECT_EQ(with("http://h/p?x=%41&a=0&y&a=2", "a", "1"), "http://h/p?x=%41&a=1&y");
  EXPECT_EQ(with("http://h/p?x=1", "a", "1"), "http://h/p?x=1&a=1");
  EXPECT_EQ(with("http://h/p?x=1&a=0", "a", "1", true), "http://h/p?a=1");
  EXPECT_EQ(with("http://h/p?%61=0", "a", "1"), "http://h/p?a=1");
  EXPECT_EQ(with("http://h/p?a+b=0", "a b", "c&d=\xc3\xa4+"), "http://h/p?a%20b=c%26d%3D%C3%A4%2B");
  EXPECT_EQ(with("http://h/p?ab=0", "a", "1"), "http://h/p?ab=0&a=1");
}

TEST(Url, RedactedHidesEveryQueryValue) {
  EXPECT_EQ(Url::Parse("https://h/p?token=s3cret&page=2&flag&e=")->Redacted(), "https://h/p?token=*&page=*&*&e=*");
  EXPECT_EQ(Url::Parse("https://h/p")->Redacted(), "https://h/p");
  EXPECT_EQ(Url::Parse("https://h/p?")->Redacted(), "https://h/p?");
  EXPECT_EQ(Url::Parse("https://h/p?a==b=c")->Redacted(), "https://h/p?a=*");
}

TEST(Url, RedactedCopiesOnlyToHideSomething) {
  std::string scratch = "used before";
  const Url plain = *Url::Parse("https://h/p?");
  EXPECT_EQ(plain.Redacted(scratch).data(), plain.text().data());
  const Url secret = *Url::Parse("https://h/p?token=s3cret");
  EXPECT_EQ(secret.Redacted(scratch), "https://h/p?token=*");
}

}  // namespace
}  // namespace fetchd::server
