#include "net/tls.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/certificates.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

SslSessionPtr Session(int version, long number = 0) {
  SslSessionPtr session(SSL_SESSION_new());
  SSL_SESSION_set_protocol_version(session.get(), version);
  SSL_SESSION_set_timeout(session.get(), number);
  return session;
}

long Number(const SslSessionPtr& session) { return session == nullptr ? -1 : SSL_SESSION_get_timeout(session.get()); }

TEST(TlsSessionCache, ATls13TicketIsUsedOnceWhileThereAreOthers) {
  TlsSessionCache cache(4);
  cache.Put("a", Session(TLS1_3_VERSION, 1));
  cache.Put("a", Session(TLS1_3_VERSION, 2));
  EXPECT_EQ(cache.Take("b"), nullptr);
  EXPECT_EQ(Number(cache.Take("a")), 2);
  EXPECT_EQ(Number(cache.Take("a")), 1);
  EXPECT_EQ(Number(cache.Take("a")), 1) << "the last one, until there is another";
  cache.Put("a", Session(TLS1_3_VERSION, 3));
  cache.Put("a", Session(TLS1_3_VERSION, 4));
  EXPECT_EQ(Number(cache.Take("a")), 4);
  EXPECT_EQ(Number(cache.Take("a")), 3);
  EXPECT_EQ(Number(cache.Take("a")), 3) << "1 is gone: it was used";
}

TEST(TlsSessionCache, ForgetsAnOriginsSessions) {
  TlsSessionCache cache(4);
  cache.Put("a", Session(TLS1_3_VERSION));
  cache.Forget("b");
  EXPECT_EQ(cache.origins(), 1u);
  cache.Forget("a");
  EXPECT_EQ(cache.origins(), 0u);
  EXPECT_EQ(cache.Take("a"), nullptr);
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
  for (long i = 1; i <= 6; ++i) cache.Put("a", Session(TLS1_3_VERSION, i));
  for (long expected : {6, 5, 4, 3, 3}) EXPECT_EQ(Number(cache.Take("a")), expected);
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
