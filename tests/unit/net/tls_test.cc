#include "net/tls.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/certificates.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

SslSessionPtr Session(int version) {
  SslSessionPtr session(SSL_SESSION_new());
  SSL_SESSION_set_protocol_version(session.get(), version);
  return session;
}

TEST(TlsSessionCache, ATls13TicketIsUsedOnce) {
  TlsSessionCache cache(4);
  cache.Put("a", Session(TLS1_3_VERSION));
  EXPECT_EQ(cache.Take("b"), nullptr);
  EXPECT_NE(cache.Take("a"), nullptr);
  EXPECT_EQ(cache.Take("a"), nullptr);
  EXPECT_EQ(cache.origins(), 0u);
}

TEST(TlsSessionCache, ATls12SessionIsUsedAgain) {
  TlsSessionCache cache(4);
  cache.Put("a", Session(TLS1_2_VERSION));
  SslSessionPtr first = cache.Take("a");
  EXPECT_NE(first, nullptr);
  // Each time a copy of its own: what OpenSSL does to the session of a broken connection does not reach the others.
  SslSessionPtr second = cache.Take("a");
  EXPECT_NE(second, nullptr);
  EXPECT_NE(second, first);
}

TEST(TlsSessionCache, TheNewestTicketComesFirstAndFourAreKept) {
  TlsSessionCache cache(4);
  SSL_SESSION* last = nullptr;
  for (int i = 0; i < 6; ++i) {
    SslSessionPtr session = Session(TLS1_3_VERSION);
    last = session.get();
    cache.Put("a", std::move(session));
  }
  EXPECT_EQ(cache.Take("a").get(), last);
  int left = 0;
  while (cache.Take("a") != nullptr) ++left;
  EXPECT_EQ(left, 3);
}

TEST(TlsSessionCache, TheLeastRecentlyUsedOriginIsForgotten) {
  TlsSessionCache cache(2);
  cache.Put("a", Session(TLS1_2_VERSION));
  cache.Put("b", Session(TLS1_2_VERSION));
  cache.Take("a");
  cache.Put("c", Session(TLS1_2_VERSION));
  EXPECT_EQ(cache.origins(), 2u);
  EXPECT_NE(cache.Take("a"), nullptr);
  EXPECT_EQ(cache.Take("b"), nullptr);
  TlsSessionCache none(0);
  none.Put("a", Session(TLS1_2_VERSION));
  EXPECT_EQ(none.Take("a"), nullptr);
}

TEST(TlsContext, RefusesABundleItCannotUse) {
  TemporaryFile junk("not a certificate\n");
  for (const std::string& path : {std::string("/nonexistent/ca.pem"), junk.path()}) {
    auto context = TlsContext::Create({false, path});
    EXPECT_EQ(context.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(context.status().message()), HasSubstr(path));
  }
  EXPECT_TRUE(TlsContext::Create({true, ""}).ok());
}

}  // namespace
}  // namespace fetchd::server
