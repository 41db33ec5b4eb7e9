#include "net/resolver.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/certificates.h"
#include "support/fake_dns_server.h"
#include "support/loop.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

IpAddress V4(uint8_t last) { return IpAddress::V4({192, 0, 2, last}); }
IpAddress V6(const char* text) { return *IpAddress::Parse(text); }

// Time stands still unless the test moves it; c-ares reads the real time, so its own timeouts are not tested by it.
class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() : loop_(clock_), dns_(loop_.context()) {
    options_.servers = {dns_.address()};
    options_.hosts_file = "";
    options_.prefer_v6 = true;
  }

  Resolver& resolver() {
    if (resolver_ == nullptr) {
      auto made = Resolver::Create(options_, loop_.executor(), clock_, loop_.timers(), metrics_);
      EXPECT_TRUE(made.ok()) << made.status();
      resolver_ = std::move(*made);
    }
    return *resolver_;
  }
  ResolveResult Resolve(const std::string& host) { return loop_.Run(resolver().Resolve(host, loop_.scope())); }
  void StartResolve(const std::string& host, CancelScope& scope, std::optional<ResolveResult>& result) {
    loop_.Start(resolver().Resolve(host, scope), result);
  }

  FakeClock clock_;
  Loop loop_;
  FakeDnsServer dns_;
  Resolver::Options options_;
  ThreadMetrics metrics_;
  std::unique_ptr<Resolver> resolver_;
};

TEST_F(ResolverTest, BothFamiliesTakeTurns) {
  dns_.Set("a.test", {{V4(1), V4(2), V4(3), V6("2001:db8::1"), V6("2001:db8::2")}});
  ResolveResult result = Resolve("a.test");
  ASSERT_TRUE(result.ok());
  std::vector<bool> v4;
  for (const IpAddress& address : result.addresses) v4.push_back(address.is_v4());
  EXPECT_THAT(v4, ElementsAre(false, true, false, true, true));
  EXPECT_EQ(metrics_.dns_queries.value(), 2);
}

TEST_F(ResolverTest, V4ComesFirstWithoutIpv6) {
  options_.prefer_v6 = false;
  dns_.Set("a.test", {{V4(1), V6("2001:db8::1")}});
  EXPECT_THAT(Resolve("a.test").addresses, ElementsAre(V4(1), V6("2001:db8::1")));
}

TEST_F(ResolverTest, CachesForTheTtl) {
  dns_.Set("a.test", {{V4(1)}, 60});
  EXPECT_THAT(Resolve("a.test").addresses, ElementsAre(V4(1)));
  dns_.Set("a.test", {{V4(2)}, 60});
  clock_.Advance(seconds(59));
  EXPECT_THAT(Resolve("a.test").addresses, ElementsAre(V4(1)));
  EXPECT_EQ(dns_.asked("a.test"), 2);
  EXPECT_EQ(metrics_.dns_cache_hits.value(), 1);
  clock_.Advance(seconds(1));
  EXPECT_THAT(Resolve("a.test").addresses, ElementsAre(V4(2)));
  EXPECT_EQ(dns_.asked("a.test"), 4);
}

TEST_F(ResolverTest, ClampsTheTtl) {
  dns_.Set("short.test", {{V4(1)}, 0});
  dns_.Set("long.test", {{V4(1)}, 1000000});
  Resolve("short.test");
  Resolve("long.test");
  clock_.Advance(milliseconds(4999));
  Resolve("short.test");
  EXPECT_EQ(dns_.asked("short.test"), 2);
  clock_.Advance(milliseconds(1));
  Resolve("short.test");
  EXPECT_EQ(dns_.asked("short.test"), 4);
  clock_.Advance(seconds(294));
  Resolve("long.test");
  EXPECT_EQ(dns_.asked("long.test"), 2);
  clock_.Advance(seconds(1));
  Resolve("long.test");
  EXPECT_EQ(dns_.asked("long.test"), 4);
}

TEST_F(ResolverTest, NamesThatDoNotExistAreKeptBriefly) {
  ResolveResult result = Resolve("none.test");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure->code, FailureCode::kDnsError);
  EXPECT_EQ(result.failure->phase, Phase::kDns);
  EXPECT_EQ(result.failure->processed, Processed::kNo);
  EXPECT_THAT(result.failure->detail, HasSubstr("none.test: no such host (NXDOMAIN)"));
  Resolve("none.test");
  EXPECT_EQ(dns_.asked("none.test"), 2);
  clock_.Advance(seconds(5));
  dns_.Set("none.test", {{V4(1)}});
  EXPECT_TRUE(Resolve("none.test").ok());
}

TEST_F(ResolverTest, ANameWithoutAddressSaysSo) {
  dns_.Set("empty.test", {{}});
  ResolveResult result = Resolve("empty.test");
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.failure->detail, HasSubstr("no address"));
}

TEST_F(ResolverTest, FailuresOfServersAreNamedAndNotKept) {
  dns_.Set("bad.test", {{}, 60, FakeDnsServer::kServfail});
  ResolveResult result = Resolve("bad.test");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure->code, FailureCode::kDnsError);
  EXPECT_THAT(result.failure->detail, HasSubstr("SERVFAIL"));
  dns_.Set("bad.test", {{}, 60, FakeDnsServer::kRefused});
  EXPECT_THAT(Resolve("bad.test").failure->detail, HasSubstr("REFUSED"));
  dns_.Set("bad.test", {{V4(1)}});
  EXPECT_TRUE(Resolve("bad.test").ok());
}

TEST_F(ResolverTest, AFailingAaaaDoesNotFailTheName) {
  dns_.Set("half.test", {{V4(1)}, 60, FakeDnsServer::kOk, FakeDnsServer::kServfail});
  EXPECT_THAT(Resolve("half.test").addresses, ElementsAre(V4(1)));
  dns_.Set("liar.test", {{V4(1)}, 60, FakeDnsServer::kOk, FakeDnsServer::kNxdomain});
  EXPECT_THAT(Resolve("liar.test").addresses, ElementsAre(V4(1)));
}

TEST_F(ResolverTest, ASilentAaaaCostsFiftyMilliseconds) {
  FakeDnsServer::Records records{{V4(1)}};
  records.silent_aaaa = true;
  dns_.Set("slow.test", records);
  std::optional<ResolveResult> result;
  StartResolve("slow.test", loop_.scope(), result);
  // Until A is answered nothing waits but c-ares; then the delay runs.
  loop_.RunUntil(
      [&] { return dns_.asked("slow.test") == 2 && loop_.timers().Next() == clock_.Now() + milliseconds(50); });
  EXPECT_FALSE(result.has_value());
  loop_.Advance(milliseconds(50));
  ASSERT_TRUE(result.has_value());
  EXPECT_THAT(result->addresses, ElementsAre(V4(1)));
}

TEST_F(ResolverTest, ManyCallersShareOneLookup) {
  dns_.Set("a.test", {{V4(1)}});
  dns_.Hold();
  std::vector<std::optional<ResolveResult>> results(20);
  for (auto& result : results) StartResolve("a.test", loop_.scope(), result);
  loop_.RunUntil([&] { return dns_.asked("a.test") == 2; });
  dns_.Release();
  for (auto& result : results) {
    loop_.RunUntil([&] { return result.has_value(); });
    EXPECT_THAT(result->addresses, ElementsAre(V4(1)));
  }
  EXPECT_EQ(dns_.asked("a.test"), 2);
}

TEST_F(ResolverTest, ACancelledCallerLeavesTheOthersAlone) {
  dns_.Set("a.test", {{V4(1)}});
  dns_.Hold();
  CancelScope impatient(loop_.scope(), clock_.Now() + seconds(1), FailureCode::kDnsTimeout);
  std::optional<ResolveResult> gives_up, waits;
  StartResolve("a.test", impatient, gives_up);
  StartResolve("a.test", loop_.scope(), waits);
  loop_.RunUntil([&] { return dns_.asked("a.test") == 2; });
  loop_.Advance(seconds(1));
  ASSERT_TRUE(gives_up.has_value());
  EXPECT_EQ(gives_up->failure->code, FailureCode::kDnsTimeout);
  EXPECT_EQ(gives_up->failure->phase, Phase::kDns);
  EXPECT_FALSE(waits.has_value());
  dns_.Release();
  loop_.RunUntil([&] { return waits.has_value(); });
  EXPECT_TRUE(waits->ok());
}

TEST_F(ResolverTest, AnAnswerNobodyWaitsForFillsTheCache) {
  dns_.Set("a.test", {{V4(1)}});
  dns_.Hold();
  CancelScope scope(loop_.scope(), kNever, FailureCode::kInternal);
  std::optional<ResolveResult> result;
  StartResolve("a.test", scope, result);
  loop_.RunUntil([&] { return dns_.asked("a.test") == 2; });
  scope.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  EXPECT_EQ(result->failure->code, FailureCode::kCancelled);
  dns_.Release();
  // Joins the open look-up or finds the cache, but asks nothing.
  EXPECT_TRUE(Resolve("a.test").ok());
  EXPECT_EQ(dns_.asked("a.test"), 2);
}

TEST_F(ResolverTest, DestroyingItDropsOpenQuestions) {
  dns_.Hold();
  CancelScope scope(loop_.scope(), kNever, FailureCode::kInternal);
  std::optional<ResolveResult> result;
  StartResolve("a.test", scope, result);
  loop_.RunUntil([&] { return dns_.asked("a.test") == 2; });
  scope.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(result.has_value());
  resolver_.reset();
  dns_.Release();
  loop_.Poll();
}

TEST_F(ResolverTest, TheLeastRecentlyUsedNameIsForgotten) {
  options_.max_entries = 2;
  for (const char* name : {"a.test", "b.test", "c.test"}) dns_.Set(name, {{V4(1)}});
  for (const char* name : {"a.test", "b.test", "c.test", "b.test", "a.test"}) Resolve(name);
  EXPECT_EQ(dns_.asked("a.test"), 4);
  EXPECT_EQ(dns_.asked("b.test"), 2);
}

TEST_F(ResolverTest, LocalhostIsLoopbackWhateverDnsSays) {
  dns_.Set("localhost", {{V4(1)}});
  dns_.Set("api.localhost", {{V4(1)}});
  for (const char* name : {"localhost", "localhost.", "api.localhost"}) {
    EXPECT_THAT(Resolve(name).addresses, ElementsAre(V6("::1"), IpAddress::V4({127, 0, 0, 1}))) << name;
  }
  EXPECT_EQ(metrics_.dns_queries.value(), 0);
}

TEST_F(ResolverTest, TheHostsFileComesBeforeDns) {
  TemporaryFile hosts("192.0.2.77 known.test\n192.0.2.78 localhost\n");
  options_.hosts_file = hosts.path();
  dns_.Set("known.test", {{V4(1)}});
  EXPECT_THAT(Resolve("known.test").addresses, ElementsAre(V4(77)));
  EXPECT_THAT(Resolve("known.test.").addresses, ElementsAre(V4(77)));
  EXPECT_THAT(Resolve("localhost").addresses, ElementsAre(V6("::1"), IpAddress::V4({127, 0, 0, 1})));
  EXPECT_EQ(dns_.asked("known.test"), 0);
}

TEST_F(ResolverTest, TheSecondServerAnswersForOneThatFails) {
  FakeDnsServer broken(loop_.context());
  broken.Set("a.test", {{}, 60, FakeDnsServer::kServfail});
  dns_.Set("a.test", {{V4(1)}});
  options_.servers = {broken.address(), dns_.address()};
  EXPECT_THAT(Resolve("a.test").addresses, ElementsAre(V4(1)));
  EXPECT_GT(broken.asked("a.test"), 0);
}

TEST(ResolverTimeouts, AreThoseOfTheOptions) {
  Loop loop;  // real time, as c-ares uses it
  FakeDnsServer dns(loop.context());
  FakeDnsServer::Records silent;
  silent.silent = true;
  dns.Set("a.test", silent);
  Resolver::Options options;
  options.servers = {dns.address()};
  options.hosts_file = "";
  options.attempt_timeout = milliseconds(20);
  options.tries = 2;
  ThreadMetrics metrics;
  auto resolver = Resolver::Create(options, loop.executor(), loop.clock(), loop.timers(), metrics);
  ASSERT_TRUE(resolver.ok());
  ResolveResult result = loop.Run((*resolver)->Resolve("a.test", loop.scope()));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure->code, FailureCode::kDnsError);
  EXPECT_THAT(result.failure->detail, HasSubstr("no answer from the DNS servers"));
  EXPECT_EQ(dns.asked("a.test"), 4);  // two questions, each twice
}

TEST_F(ResolverTest, RefusesMalformedServers) {
  for (const char* server : {"dns.example", "192.0.2.1:0", "192.0.2.1:x", "2001:db8::1:99999", "[192.0.2.1]:53", ""}) {
    options_.servers = {server};
    auto made = Resolver::Create(options_, loop_.executor(), clock_, loop_.timers(), metrics_);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << server;
  }
  options_.servers = {"192.0.2.1", "[2001:db8::1]:5353", "2001:db8::1"};
  EXPECT_TRUE(Resolver::Create(options_, loop_.executor(), clock_, loop_.timers(), metrics_).ok());
}

}  // namespace
}  // namespace fetchd::server
