#include "cookies/cookie_store.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "support/fake_clock.h"

namespace fetchd::server {
namespace {

using std::chrono::seconds;

class CookieStoreTest : public testing::Test {
 protected:
  void Set(CookieStore& store, std::string_view caller, std::string_view session, const std::string& field) {
    Headers headers;
    headers.Add("set-cookie", field);
    store.OnResponse(caller, session, url_, headers);
  }
  std::string Get(CookieStore& store, std::string_view caller, std::string_view session) {
    return store.HeaderFor(caller, session, url_);
  }

  FakeClock clock_;
  const Url url_ = *Url::Parse("http://example.com/");
};

TEST_F(CookieStoreTest, CallersDoNotShare) {
  CookieStore store({}, clock_);
  Set(store, "one", "s", "a=1");
  Set(store, "two", "s", "a=2");
  EXPECT_EQ(Get(store, "one", "s"), "a=1");
  EXPECT_EQ(Get(store, "two", "s"), "a=2");
  EXPECT_EQ(Get(store, "one", "other"), "");
  EXPECT_EQ(Get(store, "three", "s"), "");
  EXPECT_EQ(store.jars(), 2u);
}

TEST_F(CookieStoreTest, EveryFieldOfAResponseCounts) {
  CookieStore store({}, clock_);
  Headers headers;
  headers.Add("set-cookie", "a=1");
  headers.Add("x", "y");
  headers.Add("Set-Cookie", "b=2");
  headers.Add("set-cookie", "bad=\x01");
  store.OnResponse("c", "s", url_, headers);
  EXPECT_EQ(Get(store, "c", "s"), "a=1; b=2");
}

TEST_F(CookieStoreTest, NothingIsKeptOfNothing) {
  CookieStore store({}, clock_);
  Set(store, "c", "s", "a=1; Domain=com");
  store.OnResponse("c", "s", url_, {});
  EXPECT_EQ(store.jars(), 0u);
  Set(store, "c", "s", "a=1");
  EXPECT_GT(store.bytes(), 0u);
  Set(store, "c", "s", "a=1; Max-Age=0");
  EXPECT_EQ(store.jars(), 0u);
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CookieStoreTest, UnusedJarsAreThrownAway) {
  CookieStore store({.ttl = seconds(100)}, clock_);
  Set(store, "c", "kept", "a=1");
  Set(store, "c", "lost", "a=1");
  clock_.Advance(seconds(60));
  EXPECT_EQ(Get(store, "c", "kept"), "a=1");
  clock_.Advance(seconds(99));
  EXPECT_EQ(Get(store, "c", "kept"), "a=1");
  EXPECT_EQ(store.jars(), 1u);
  EXPECT_EQ(Get(store, "c", "lost"), "");
  clock_.Advance(seconds(100));
  EXPECT_EQ(Get(store, "c", "kept"), "");
  EXPECT_EQ(store.bytes(), 0u);
}

TEST_F(CookieStoreTest, JarsAreCapped) {
  CookieStore store({.max_jars = 3, .max_jars_per_caller = 2}, clock_);
  Set(store, "c", "1", "a=1");
  Set(store, "c", "2", "a=1");
  EXPECT_EQ(Get(store, "c", "1"), "a=1");
  Set(store, "c", "3", "a=1");
  EXPECT_EQ(store.jars(), 2u);
  EXPECT_EQ(Get(store, "c", "2"), "");
  Set(store, "d", "1", "a=1");
  Set(store, "e", "1", "a=1");
  EXPECT_EQ(store.jars(), 3u);
  EXPECT_EQ(Get(store, "c", "1"), "");
  EXPECT_EQ(Get(store, "c", "3"), "a=1");
}

TEST_F(CookieStoreTest, BytesAreCapped) {
  CookieStore store({.max_bytes = 100'000}, clock_);
  for (int i = 0; i < 100; ++i) {
    Set(store, "c", std::to_string(i), "a=" + std::string(4000, 'v'));
    EXPECT_LE(store.bytes(), 100'000u);
  }
  EXPECT_GT(store.jars(), 15u);
  EXPECT_EQ(Get(store, "c", "0"), "");
  EXPECT_NE(Get(store, "c", "99"), "");
}

TEST(CookieStoreThreads, MayCallAtOnce) {
  CookieStore store({.max_jars = 5}, SystemClock());
  const Url url = *Url::Parse("http://example.com/");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Headers headers;
      headers.Add("set-cookie", "a=" + std::to_string(t));
      for (int i = 0; i < 500; ++i) {
        store.OnResponse("c", std::to_string(i % 7), url, headers);
        EXPECT_LE(store.HeaderFor("c", std::to_string(i % 5), url).size(), 3u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(store.jars(), 5u);
}

}  // namespace
}  // namespace fetchd::server
