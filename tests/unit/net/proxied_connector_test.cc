// DialingConnector with a proxy.
#include <boost/asio/error.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/proxy.h"
#include "net/dialing_connector.h"
#include "support/certificates.h"
#include "support/fake_dialler.h"
#include "support/fake_dns_server.h"
#include "support/loop.h"
#include "support/tls_origin.h"
#include "support/tunnel_proxy.h"

namespace fetchd::server {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Code = FailureCode;

constexpr char kConnected[] = "HTTP/1.1 200 OK\r\n\r\n";

// SOCKS5 without credentials: the method, then a reply.
std::vector<std::string> SocksAnswers(char reply = 0) {
  return {std::string("\x05\x00", 2), std::string("\x05") + reply + std::string("\x00\x01\x00\x00\x00\x00\x00\x00", 8)};
}
std::string SocksAddress(const char* address) {
  const auto bytes = IpAddress::Parse(address)->bytes();
  return std::string("\x05\x01\x00\x01", 4) + std::string(reinterpret_cast<const char*>(bytes.data()), 4) +
         std::string("\x1f\x90");
}
std::string SocksName(const std::string& name) {
  return std::string("\x05\x01\x00\x03", 4) + static_cast<char>(name.size()) + name + std::string("\x1f\x90");
}

class ProxiedConnectorTest : public ::testing::Test {
 protected:
  ProxiedConnectorTest()
      : loop_(clock_),
        dns_(loop_.context()),
        server_(loop_.context()),
        dialler_(loop_.executor()),
        bundle_(authority_.pem()),
        tls_(*TlsContext::Create({false, bundle_.path()})) {
    Resolver::Options options;
    options.servers = {dns_.address()};
    options.hosts_file = "";
    options.prefer_v6 = true;
    resolver_ = *Resolver::Create(options, loop_.executor(), clock_, loop_.timers(), metrics_);
    Allow({});
    Set("origin.test", {"8.8.0.1"});
    Set("proxy.test", {"9.9.0.9"});
    dialler_.Lead("9.9.0.9", server_.port());
    proxy_.name = "office";
    proxy_.kind = Proxy::Kind::kSocks5;
    proxy_.host = "proxy.test";
    proxy_.port = 1080;
  }

  void Allow(AddressGuard::Options options) { guard_ = std::make_unique<AddressGuard>(std::move(options)); }
  void Set(const std::string& name, const std::vector<std::string>& addresses) {
    FakeDnsServer::Records records;
    for (const std::string& address : addresses) records.addresses.push_back(*IpAddress::Parse(address));
    dns_.Set(name, records);
  }
  ConnectTarget Target(Scheme scheme = Scheme::kHttp) {
    ConnectTarget target;
    target.origin = {scheme, "origin.test", 8080};
    target.version = HttpVersion::kHttp1;
    target.proxy = std::make_shared<const Proxy>(proxy_);
    return target;
  }
  DialingConnector& connector() {
    if (connector_ == nullptr) {
      connector_ = std::make_unique<DialingConnector>(DialingConnector::Options{}, loop_.executor(), *resolver_,
                                                      *guard_, dialler_, *tls_, random_, metrics_);
    }
    return *connector_;
  }
  ConnectResult Connect(ConnectTarget target) {
    return loop_.Run(connector().Connect(std::move(target), loop_.scope()));
  }
  ConnectResult Connect() { return Connect(Target()); }
  static void ExpectFailure(const ConnectResult& result, Code code, Phase phase, const std::string& detail) {
    EXPECT_FALSE(result.ok());
    ASSERT_TRUE(result.failure.has_value());
    EXPECT_EQ(result.failure->code, code) << result.failure->detail;
    EXPECT_EQ(result.failure->phase, phase) << result.failure->detail;
    EXPECT_EQ(result.failure->processed, Processed::kNo);
    EXPECT_THAT(result.failure->detail, HasSubstr(detail));
  }

  FakeClock clock_;
  Loop loop_;
  FakeDnsServer dns_;
  TunnelProxy server_;
  FakeDialler dialler_;
  TestAuthority authority_;
  TemporaryFile bundle_;
  std::unique_ptr<TlsContext> tls_;
  Random random_{1};
  ThreadMetrics metrics_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<AddressGuard> guard_;
  std::unique_ptr<DialingConnector> connector_;
  Proxy proxy_;
};

TEST_F(ProxiedConnectorTest, TheProxyIsDialledAndAskedForTheCheckedAddress) {
  server_.Answer(SocksAnswers());
  const ConnectResult result = Connect();
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_THAT(dialler_.dialled(), ElementsAre("9.9.0.9"));
  EXPECT_THAT(server_.asked(), ElementsAre(std::string("\x05\x01\x00", 3), SocksAddress("8.8.0.1")));
  EXPECT_EQ(result.transport->peer().ToString(), "8.8.0.1:8080");
  EXPECT_TRUE(result.phases.dns.has_value());
  EXPECT_TRUE(result.phases.connect.has_value());
  EXPECT_TRUE(result.phases.proxy.has_value());
  EXPECT_FALSE(result.phases.tls.has_value());
  EXPECT_THAT(result.failed, IsEmpty());
}

TEST_F(ProxiedConnectorTest, ANameIsAskedForWhereTheProxyWantsNames) {
  proxy_.names = Proxy::Names::kChecked;
  server_.Answer(SocksAnswers());
  const ConnectResult result = Connect();
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_EQ(server_.asked().back(), SocksName("origin.test"));
  EXPECT_EQ(result.transport->peer().ToString(), "9.9.0.9:1080");
  EXPECT_EQ(dns_.asked("origin.test"), 2);
}

TEST_F(ProxiedConnectorTest, ANameThatOnlyTheProxyKnowsIsNotResolved) {
  proxy_.names = Proxy::Names::kRemote;
  proxy_.literal = IpAddress::Parse("9.9.0.9");
  server_.Answer(SocksAnswers());
  const ConnectResult result = Connect();
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_EQ(server_.asked().back(), SocksName("origin.test"));
  EXPECT_EQ(dns_.asked("origin.test"), 0);
  EXPECT_FALSE(result.phases.dns.has_value());
}

TEST_F(ProxiedConnectorTest, WhatTheGuardRefusesIsNotAskedForByAnyKindOfProxy) {
  Set("origin.test", {"10.0.0.1", "127.0.0.1", "fd00::1"});
  for (const Proxy::Kind kind : {Proxy::Kind::kHttp, Proxy::Kind::kSocks5}) {
    for (const Proxy::Names names : {Proxy::Names::kPinned, Proxy::Names::kChecked}) {
      for (const Scheme scheme : {Scheme::kHttp, Scheme::kHttps}) {
        proxy_.kind = kind;
        proxy_.names = names;
        ExpectFailure(Connect(Target(scheme)), Code::kDestinationIpProhibited, Phase::kDns,
                      "origin.test has no address");
      }
    }
  }
  EXPECT_EQ(server_.connections(), 0u);
}

TEST_F(ProxiedConnectorTest, AnAddressInTheUrlIsCheckedWhateverTheProxy) {
  for (const Proxy::Names names : {Proxy::Names::kPinned, Proxy::Names::kChecked, Proxy::Names::kRemote}) {
    proxy_.names = names;
    ConnectTarget target = Target();
    target.origin.host = "10.0.0.1";
    target.literal = IpAddress::V4({10, 0, 0, 1});
    ExpectFailure(Connect(std::move(target)), Code::kDestinationIpProhibited, Phase::kPolicy, "10.0.0.1 is private");
  }
  EXPECT_EQ(server_.connections(), 0u);
}

TEST_F(ProxiedConnectorTest, OnlyAllowedAddressesAreAskedFor) {
  Set("origin.test", {"10.0.0.1", "8.8.0.1"});
  server_.Answer(SocksAnswers());
  ASSERT_TRUE(Connect().ok());
  EXPECT_EQ(server_.asked().back(), SocksAddress("8.8.0.1"));
}

TEST_F(ProxiedConnectorTest, TheProxysOwnAddressIsChecked) {
  Set("proxy.test", {"10.0.0.9"});
  dialler_.Lead("10.0.0.9", server_.port());
  const ConnectResult result = Connect();
  ExpectFailure(result, Code::kDestinationIpProhibited, Phase::kProxy,
                "proxy office has no address that may be reached");
  EXPECT_THAT(result.failure->detail, HasSubstr("10.0.0.9 is private"));
  EXPECT_TRUE(dialler_.dialled().empty());
}

TEST_F(ProxiedConnectorTest, AProxyMayBeWhereNothingMayBeFetched) {
  Allow({{}, {}, {*Cidr::Parse("10.0.0.9")}});
  Set("proxy.test", {"10.0.0.9"});
  dialler_.Lead("10.0.0.9", server_.port());
  server_.Answer(SocksAnswers());
  EXPECT_TRUE(Connect().ok());
  Set("other.test", {"10.0.0.9"});
  ConnectTarget target = Target();
  target.origin.host = "other.test";
  ExpectFailure(Connect(std::move(target)), Code::kDestinationIpProhibited, Phase::kDns, "10.0.0.9 is private");
}

TEST_F(ProxiedConnectorTest, AnAddressThatTheProxyCannotReachIsFollowedByTheNext) {
  Set("origin.test", {"8.8.0.1", "2600::1"});
  server_.Answer(SocksAnswers(4));
  server_.Answer(SocksAnswers(0));
  const ConnectResult result = Connect();
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_EQ(server_.connections(), 2u);
  EXPECT_THAT(result.failed, ElementsAre(*IpAddress::Parse("2600::1")));
  EXPECT_EQ(result.transport->peer().ToString(), "8.8.0.1:8080");
}

TEST_F(ProxiedConnectorTest, AtMostFourAddressesAreAskedFor) {
  Set("origin.test", {"8.8.0.1", "8.8.0.2", "8.8.0.3", "8.8.0.4", "8.8.0.5"});
  server_.Answer(SocksAnswers(5));
  const ConnectResult result = Connect();
  ExpectFailure(result, Code::kConnectionRefused, Phase::kProxy, "connection refused");
  EXPECT_EQ(server_.connections(), 4u);
  EXPECT_EQ(result.failed.size(), 4u);
}

TEST_F(ProxiedConnectorTest, ARefusalByRuleIsNotFollowedByTheNext) {
  Set("origin.test", {"8.8.0.1", "8.8.0.2"});
  server_.Answer(SocksAnswers(2));
  const ConnectResult result = Connect();
  ExpectFailure(result, Code::kProxyRefused, Phase::kProxy, "not allowed by its rules");
  EXPECT_EQ(server_.connections(), 1u);
  EXPECT_THAT(result.failed, IsEmpty());
}

TEST_F(ProxiedConnectorTest, AProxyThatRefusesConnectionsIsNotTheOriginsFault) {
  dialler_.Fail("9.9.0.9", asio::error::connection_refused);
  dialler_.Forget("9.9.0.9");
  const ConnectResult result = Connect();
  ExpectFailure(result, Code::kProxyUnavailable, Phase::kConnect, "proxy office: connecting to 9.9.0.9:1080");
  EXPECT_THAT(result.failed, IsEmpty());
}

TEST_F(ProxiedConnectorTest, AProxyWhoseNameDoesNotResolve) {
  proxy_.host = "nowhere.test";
  ExpectFailure(Connect(), Code::kProxyUnavailable, Phase::kDns, "proxy office: ");
}

TEST_F(ProxiedConnectorTest, AProxyThatCannotBeReachedInTime) {
  dialler_.Forget("9.9.0.9");
  std::optional<ConnectResult> result;
  CancelScope scope(loop_.scope(), kNever, Code::kInternal);
  loop_.Start(connector().Connect(Target(), scope), result);
  loop_.RunUntil([&] { return dialler_.dialled().size() == 1; });
  loop_.Advance(seconds(5));
  ASSERT_TRUE(result.has_value());
  ExpectFailure(*result, Code::kProxyTimeout, Phase::kConnect, "proxy office: no connection in time");
  EXPECT_EQ(dialler_.running(), 0);
}

TEST_F(ProxiedConnectorTest, AProxyThatOpensNothingInTime) {
  server_.Answer({std::string("\x05\x00", 2)});
  std::optional<ConnectResult> result;
  CancelScope scope(loop_.scope(), kNever, Code::kInternal);
  loop_.Start(connector().Connect(Target(), scope), result);
  loop_.RunUntil([&] { return server_.asked().size() == 1; });
  // The request may be on its way; the answer to it never comes.
  loop_.Advance(seconds(5));
  ASSERT_TRUE(result.has_value());
  ExpectFailure(*result, Code::kProxyTimeout, Phase::kProxy, "not open in time");
  EXPECT_EQ(result->phases.proxy, seconds(5));
}

TEST_F(ProxiedConnectorTest, AnHttpProxyGetsHttpRequestsAsTheyAre) {
  proxy_.kind = Proxy::Kind::kHttp;
  const ConnectResult result = Connect();
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_EQ(result.transport->peer().ToString(), "9.9.0.9:1080");
  EXPECT_THAT(server_.asked(), IsEmpty());
  EXPECT_FALSE(result.phases.proxy.has_value());
}

TEST_F(ProxiedConnectorTest, Http2ByPriorKnowledgeGoesThroughATunnel) {
  proxy_.kind = Proxy::Kind::kHttp;
  server_.Answer({kConnected});
  ConnectTarget target = Target();
  target.version = HttpVersion::kHttp2;
  const ConnectResult result = Connect(std::move(target));
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_TRUE(result.http2);
  EXPECT_THAT(server_.asked().front(), HasSubstr("CONNECT 8.8.0.1:8080 HTTP/1.1\r\n"));
}

TEST_F(ProxiedConnectorTest, TlsIsWithTheOriginThroughTheTunnel) {
  TlsOrigin origin(loop_.context(), authority_.Issue("DNS:origin.test"));
  server_.LeadTo(origin.port());
  for (const Proxy::Kind kind : {Proxy::Kind::kHttp, Proxy::Kind::kSocks5}) {
    proxy_.kind = kind;
    server_.Answer(kind == Proxy::Kind::kHttp ? std::vector<std::string>{kConnected} : SocksAnswers());
    const ConnectResult result = Connect(Target(Scheme::kHttps));
    ASSERT_TRUE(result.ok()) << result.failure->detail;
    EXPECT_TRUE(result.phases.tls.has_value());
    EXPECT_EQ(origin.server_names().back(), "origin.test");
  }
  EXPECT_EQ(metrics_.tls_handshakes.value(), 2);
}

TEST_F(ProxiedConnectorTest, ACertificateForAnotherHostIsRefusedThroughTheTunnelToo) {
  TlsOrigin origin(loop_.context(), authority_.Issue("DNS:proxy.test"));
  server_.LeadTo(origin.port());
  server_.Answer(SocksAnswers());
  const ConnectResult result = Connect(Target(Scheme::kHttps));
  ExpectFailure(result, Code::kTlsCertificateError, Phase::kTls, "origin.test");
  EXPECT_THAT(result.failed, ElementsAre(*IpAddress::Parse("8.8.0.1")));
}

TEST_F(ProxiedConnectorTest, TheCallersStopEndsTheHandshake) {
  server_.Answer({std::string("\x05\x00", 2)});
  std::optional<ConnectResult> result;
  CancelScope scope(loop_.scope(), kNever, Code::kInternal);
  loop_.Start(connector().Connect(Target(), scope), result);
  loop_.RunUntil([&] { return server_.asked().size() == 1; });
  scope.Cancel(Code::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(result.has_value());
  ExpectFailure(*result, Code::kCancelled, Phase::kProxy, "not open in time");
}

}  // namespace
}  // namespace fetchd::server
