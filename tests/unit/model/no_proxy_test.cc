#include "model/no_proxy.h"

#include <gtest/gtest.h>

namespace fetchd::server {
namespace {

struct Row {
  const char* rule;
  const char* url;
  bool matches;
};

TEST(NoProxyRule, SaysWhichUrlsAreReachedDirectly) {
  const Row rows[] = {
      {"*", "http://anything.test/", true},
      {"*", "https://192.0.2.1/", true},
      // A host, and those below it.
      {"example.com", "https://example.com/", true},
      {"example.com", "https://a.example.com/", true},
      {"example.com", "https://a.b.example.com:8443/", true},
      {"example.com", "https://example.com./", true},
      {"example.com.", "https://example.com/", true},
      {"EXAMPLE.com", "https://Example.COM/", true},
      {"example.com", "https://badexample.com/", false},
      {"example.com", "https://example.com.evil.test/", false},
      {"example.com", "https://example.org/", false},
      {"com", "https://example.com/", true},
      // Those below it only.
      {".example.com", "https://a.example.com/", true},
      {".example.com", "https://a.example.com./", true},
      {".example.com", "https://example.com/", false},
      {".example.com", "https://badexample.com/", false},
      {"*.example.com", "https://a.b.example.com/", true},
      {"*.example.com", "https://example.com/", false},
      // Ports.
      {"example.com:8443", "https://example.com:8443/", true},
      {"example.com:443", "https://a.example.com/", true},
      {"example.com:8443", "https://example.com/", false},
      {"192.0.2.1:8080", "http://192.0.2.1:8080/", true},
      {"192.0.2.1:8080", "http://192.0.2.1/", false},
      {"[2001:db8::1]:8080", "http://[2001:db8::1]:8080/", true},
      {"[2001:db8::1]:8080", "http://[2001:db8::1]/", false},
      // Addresses, and blocks of them.
      {"192.0.2.1", "http://192.0.2.1/", true},
      {"192.0.2.1", "http://192.0.2.10/", false},
      {"2001:db8::1", "http://[2001:db8::1]/", true},
      {"2001:db8:0::0:1", "http://[2001:db8::1]/", true},
      {"[2001:db8::1]", "http://[2001:db8::1]/", true},
      {"192.0.2.0/24", "http://192.0.2.0/", true},
      {"192.0.2.0/24", "http://192.0.2.255/", true},
      {"192.0.2.0/24", "http://192.0.1.255/", false},
      {"192.0.2.0/24", "http://192.0.3.0/", false},
      {"2001:db8::/32", "http://[2001:db8:ffff::1]/", true},
      {"2001:db8::/32", "http://[2001:db9::1]/", false},
      // Names are not resolved for it.
      {"127.0.0.0/8", "http://origin.test/", false},
      {"192.0.2.1", "http://a.192.0.2.1.test/", false},
      {"1", "http://192.0.2.1/", false},
  };
  for (const Row& row : rows) {
    const auto rule = NoProxyRule::Parse(row.rule);
    if (std::string_view(row.rule) == "1") {
      EXPECT_FALSE(rule.ok());
      continue;
    }
    ASSERT_TRUE(rule.ok()) << row.rule << ": " << rule.status();
    EXPECT_EQ(rule->Matches(*Url::Parse(row.url)), row.matches) << row.rule << " and " << row.url;
  }
}

TEST(NoProxyRule, WhatCouldNeverMatchIsRefused) {
  for (const char* text : {"",
                           ".",
                           "*.",
                           "**",
                           "a*b",
                           "*a.test",
                           "a.test:",
                           "a.test:0",
                           "a.test:65536",
                           "a.test:x",
                           ":80",
                           "10.1.2.3/8",
                           "10.0.0.0/33",
                           "a.test/x",
                           "http://a.test",
                           "a b",
                           "user@a.test",
                           "a..b",
                           "[2001:db8::1",
                           "2001:db8::1]",
                           "[2001:db8::1]x",
                           "127.1",
                           "a.test?x",
                           "a.test#x",
                           "\xc3\xa4.test"}) {
    EXPECT_FALSE(NoProxyRule::Parse(text).ok()) << text;
  }
}

TEST(NoProxy, OneRuleThatMatchesIsEnough) {
  const NoProxy rules({*NoProxyRule::Parse("a.test"), *NoProxyRule::Parse("10.0.0.0/8")});
  EXPECT_TRUE(rules.Matches(*Url::Parse("http://10.9.8.7/")));
  EXPECT_TRUE(rules.Matches(*Url::Parse("http://x.a.test/")));
  EXPECT_FALSE(rules.Matches(*Url::Parse("http://b.test/")));
  EXPECT_FALSE(NoProxy().Matches(*Url::Parse("http://a.test/")));
}

}  // namespace
}  // namespace fetchd::server
