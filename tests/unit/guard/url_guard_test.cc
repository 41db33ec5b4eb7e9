#include "guard/url_guard.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

absl::Status Check(const AddressGuard& addresses, const char* url, UrlGuard::Options options = {}) {
  return UrlGuard(std::move(options), addresses).Check(*Url::Parse(url));
}

TEST(UrlGuard, RefusesLiteralsThatTheAddressGuardRefuses) {
  AddressGuard guard({});
  for (const char* url : {"http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/",
                          "https://10.0.0.1:8443/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/"}) {
    absl::Status status = Check(guard, url);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << url;
  }
  EXPECT_THAT(std::string(Check(guard, "http://127.0.0.1/").message()), HasSubstr("127.0.0.1 is loopback"));
  EXPECT_TRUE(Check(guard, "http://93.184.216.34/").ok());
  EXPECT_TRUE(Check(guard, "http://example.com/").ok());
}

TEST(UrlGuard, RefusesLocalhostUnlessLoopbackIsAllowed) {
  AddressGuard closed({});
  for (const char* url : {"http://localhost/", "http://LOCALHOST./", "http://api.localhost:8080/"}) {
    EXPECT_EQ(Check(closed, url).code(), absl::StatusCode::kPermissionDenied) << url;
  }
  EXPECT_TRUE(Check(closed, "http://notlocalhost/").ok());
  EXPECT_TRUE(Check(closed, "http://localhost.example.com/").ok());
  AddressGuard v4({{*Cidr::Parse("127.0.0.0/8")}, {}, {}}), v6({{*Cidr::Parse("::1")}, {}, {}});
  EXPECT_TRUE(Check(v4, "http://localhost/").ok());
  EXPECT_TRUE(Check(v6, "http://localhost/").ok());
}

TEST(UrlGuard, RefusesBadPortsByDefault) {
  AddressGuard guard({});
  for (const char* url : {"http://example.com:1/", "http://example.com:22/", "http://example.com:25/",
                          "https://example.com:6667/", "http://example.com:10080/", "http://example.com:6000/"}) {
    absl::Status status = Check(guard, url);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << url;
    EXPECT_THAT(std::string(status.message()), HasSubstr("port"));
  }
  for (const char* url : {"http://example.com/", "https://example.com/", "http://example.com:8080/",
                          "http://example.com:65535/", "http://example.com:24/"}) {
    EXPECT_TRUE(Check(guard, url).ok()) << url;
  }
}

TEST(UrlGuard, AllowedPortsReplaceTheDefault) {
  AddressGuard guard({});
  UrlGuard::Options options{{{443, 443}, {8000, 8100}}};
  EXPECT_TRUE(Check(guard, "https://example.com/", options).ok());
  EXPECT_TRUE(Check(guard, "http://example.com:8000/", options).ok());
  EXPECT_TRUE(Check(guard, "http://example.com:8100/", options).ok());
  EXPECT_FALSE(Check(guard, "http://example.com:8101/", options).ok());
  EXPECT_FALSE(Check(guard, "http://example.com/", options).ok());
}

}  // namespace
}  // namespace fetchd::server
