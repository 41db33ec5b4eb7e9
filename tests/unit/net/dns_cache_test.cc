#include "net/dns_cache.h"

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

Instant At(int s) { return Instant(std::chrono::seconds(s)); }
DnsCache::Entry Until(int s) { return {{IpAddress::V4({192, 0, 2, 1})}, "", At(s)}; }

TEST(DnsCache, ForgetsAtTheEnd) {
  DnsCache cache(4);
  cache.Put("a", Until(10));
  EXPECT_NE(cache.Find("a", At(9)), nullptr);
  EXPECT_EQ(cache.Find("b", At(9)), nullptr);
  EXPECT_EQ(cache.Find("a", At(10)), nullptr);
  EXPECT_EQ(cache.size(), 0u);
}

TEST(DnsCache, PutReplaces) {
  DnsCache cache(4);
  cache.Put("a", Until(10));
  cache.Put("a", Until(20));
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_NE(cache.Find("a", At(15)), nullptr);
}

TEST(DnsCache, TheLeastRecentlyUsedGoesFirst) {
  DnsCache cache(2);
  cache.Put("a", Until(10));
  cache.Put("b", Until(10));
  cache.Find("a", At(1));
  cache.Put("c", Until(10));
  EXPECT_NE(cache.Find("a", At(1)), nullptr);
  EXPECT_EQ(cache.Find("b", At(1)), nullptr);
  EXPECT_NE(cache.Find("c", At(1)), nullptr);
}

TEST(DnsCache, OfNoneKeepsNothing) {
  DnsCache cache(0);
  cache.Put("a", Until(10));
  EXPECT_EQ(cache.Find("a", At(1)), nullptr);
}

}  // namespace
}  // namespace fetchd::server
