#include "net/dialing_connector.h"

#include <boost/asio/error.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/event.h"
#include "support/certificates.h"
#include "support/fake_dialler.h"
#include "support/fake_dns_server.h"
#include "support/loop.h"
#include "support/tls_origin.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class DialingConnectorTest : public ::testing::Test {
 protected:
  DialingConnectorTest()
      : loop_(clock_),
        dns_(loop_.context()),
        listener_(loop_.executor(), {asio::ip::address_v4::loopback(), 0}),
        dialler_(loop_.executor()),
        bundle_(authority_.pem()),
        tls_(*TlsContext::Create({false, bundle_.path()})) {
    Resolver::Options options;
    options.servers = {dns_.address()};
    options.hosts_file = "";
    options.prefer_v6 = true;
    resolver_ = *Resolver::Create(options, loop_.executor(), clock_, loop_.timers(), metrics_);
    guard_ = std::make_unique<AddressGuard>(AddressGuard::Options{});
  }

  DialingConnector& connector() {
    if (connector_ == nullptr) {
      connector_ = std::make_unique<DialingConnector>(DialingConnector::Options{}, loop_.executor(), *resolver_,
                                                      *guard_, dialler_, *tls_, random_, metrics_);
    }
    return *connector_;
  }
  uint16_t port() const { return listener_.local_endpoint().port(); }
  void SetAddresses(const std::vector<std::string>& addresses) {
    FakeDnsServer::Records records;
    for (const std::string& address : addresses) records.addresses.push_back(*IpAddress::Parse(address));
    dns_.Set("origin.test", records);
  }
  ConnectTarget Target(Scheme scheme = Scheme::kHttp) const {
    ConnectTarget target;
    target.origin = {scheme, "origin.test", 8080};
    return target;
  }
  ConnectResult Connect() { return loop_.Run(connector().Connect(Target(), loop_.scope())); }
  // Starts a Connect and runs it until `n` addresses were dialled.
  void StartAndDial(size_t n) {
    loop_.Start(connector().Connect(Target(), scope_), result_);
    loop_.RunUntil([&] { return dialler_.dialled().size() == n; });
    loop_.Poll();
  }
  static void ExpectFailure(const ConnectResult& result, FailureCode code, Phase phase) {
    EXPECT_FALSE(result.ok());
    ASSERT_TRUE(result.failure.has_value());
    EXPECT_EQ(result.failure->code, code) << result.failure->detail;
    EXPECT_EQ(result.failure->phase, phase);
    EXPECT_EQ(result.failure->processed, Processed::kNo);
  }

  FakeClock clock_;
  Loop loop_;
  CancelScope scope_{loop_.scope(), kNever, FailureCode::kInternal};
  FakeDnsServer dns_;
  asio::basic_socket_acceptor<asio::ip::tcp, Executor> listener_;
  FakeDialler dialler_;
  TestAuthority authority_;
  TemporaryFile bundle_;
  std::unique_ptr<TlsContext> tls_;
  Random random_{1};
  ThreadMetrics metrics_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<AddressGuard> guard_;
  std::unique_ptr<DialingConnector> connector_;
  std::optional<ConnectResult> result_;
};

TEST_F(DialingConnectorTest, ResolvesAndConnects) {
  SetAddresses({"8.8.0.1"});
  dialler_.Lead("8.8.0.1", port());
  ConnectResult result = Connect();
  ASSERT_TRUE(result.ok()) << result.failure->detail;
  EXPECT_EQ(result.transport->peer().ToString(), "8.8.0.1:8080");
  EXPECT_TRUE(result.phases.dns.has_value());
  EXPECT_TRUE(result.phases.connect.has_value());
  EXPECT_FALSE(result.phases.tls.has_value());
}

TEST_F(DialingConnectorTest, ALiteralIsNotResolved) {
  dialler_.Lead("8.8.0.1", port());
  ConnectTarget target = Target();
  target.origin.host = "8.8.0.1";
  target.literal = IpAddress::V4({8, 8, 0, 1});
  ConnectResult result = loop_.Run(connector().Connect(target, loop_.scope()));
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result.phases.dns.has_value());
  EXPECT_EQ(metrics_.dns_queries.value(), 0);
}

TEST_F(DialingConnectorTest, NeverDialsWhatTheGuardRefuses) {
  SetAddresses({"127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00::1"});
  ConnectResult result = Connect();
  ExpectFailure(result, FailureCode::kDestinationIpProhibited, Phase::kDns);
  EXPECT_THAT(result.failure->detail, HasSubstr("origin.test"));
  EXPECT_TRUE(dialler_.dialled().empty());
}

TEST_F(DialingConnectorTest, DropsProhibitedAddressesAndDialsTheOthers) {
  SetAddresses({"127.0.0.1", "10.0.0.1", "8.8.0.1", "::1"});
  dialler_.Lead("8.8.0.1", port());
  EXPECT_TRUE(Connect().ok());
  EXPECT_THAT(dialler_.dialled(), ElementsAre("8.8.0.1"));
}

TEST_F(DialingConnectorTest, AProhibitedLiteralIsRefusedToo) {
  ConnectTarget target = Target();
  target.origin.host = "10.0.0.1";
  target.literal = IpAddress::V4({10, 0, 0, 1});
  ExpectFailure(loop_.Run(connector().Connect(target, loop_.scope())), FailureCode::kDestinationIpProhibited,
                Phase::kPolicy);
  EXPECT_TRUE(dialler_.dialled().empty());
}

TEST_F(DialingConnectorTest, AnAllowedNetworkIsDialled) {
  guard_ = std::make_unique<AddressGuard>(AddressGuard::Options{{*Cidr::Parse("10.0.0.0/8")}, {}, {}});
  SetAddresses({"10.0.0.1"});
  dialler_.Lead("10.0.0.1", port());
  EXPECT_TRUE(Connect().ok());
}

TEST_F(DialingConnectorTest, DnsFailuresComeThrough) {
  ConnectResult result = Connect();
  ExpectFailure(result, FailureCode::kDnsError, Phase::kDns);
  EXPECT_TRUE(result.phases.dns.has_value());
}

TEST_F(DialingConnectorTest, DnsTimeout) {
  SetAddresses({"8.8.0.1"});
  dns_.Hold();
  loop_.Start(connector().Connect(Target(), scope_), result_);
  loop_.RunUntil([&] { return dns_.asked("origin.test") == 2; });
  loop_.Advance(seconds(5));
  ASSERT_TRUE(result_.has_value());
  ExpectFailure(*result_, FailureCode::kDnsTimeout, Phase::kDns);
  EXPECT_EQ(result_->phases.dns, seconds(5));
}

TEST_F(DialingConnectorTest, AStopOfTheCallerHasItsOwnCode) {
  SetAddresses({"8.8.0.1"});
  scope_.SetDeadline(clock_.Now() + seconds(1));
  StartAndDial(1);
  scope_.Cancel(FailureCode::kAttemptTimeout);
  loop_.Poll();
  ASSERT_TRUE(result_.has_value());
  ExpectFailure(*result_, FailureCode::kAttemptTimeout, Phase::kConnect);
}

TEST_F(DialingConnectorTest, ConnectTimeoutCountsOverAllAddresses) {
  SetAddresses({"8.8.0.1", "8.8.0.2", "2606::1"});
  StartAndDial(1);
  loop_.Advance(milliseconds(250));
  loop_.Advance(milliseconds(250));
  EXPECT_EQ(dialler_.running(), 3);
  loop_.Advance(milliseconds(4500));
  ASSERT_TRUE(result_.has_value());
  ExpectFailure(*result_, FailureCode::kConnectionTimeout, Phase::kConnect);
  EXPECT_EQ(dialler_.running(), 0);
  EXPECT_THAT(result_->failure->detail, HasSubstr("and 2 more"));
}

TEST_F(DialingConnectorTest, ABlackHoleDelaysTheNextFamilyByAQuarterSecond) {
  SetAddresses({"2606::1", "8.8.0.1"});
  dialler_.Lead("8.8.0.1", port());
  StartAndDial(1);
  EXPECT_THAT(dialler_.dialled(), ElementsAre("2606::1"));
  loop_.Advance(milliseconds(249));
  EXPECT_EQ(dialler_.dialled().size(), 1u);
  loop_.Advance(milliseconds(1));
  loop_.RunUntil([&] { return result_.has_value(); });
  ASSERT_TRUE(result_->ok());
  EXPECT_EQ(result_->transport->peer().address.ToString(), "8.8.0.1");
  // The loser was waited for.
  EXPECT_EQ(dialler_.running(), 0);
  EXPECT_EQ(dialler_.aborted(), 1);
}

TEST_F(DialingConnectorTest, AFailedAttemptStartsTheNextAtOnce) {
  SetAddresses({"2606::1", "8.8.0.1"});
  dialler_.Fail("2606::1", asio::error::network_unreachable);
  dialler_.Lead("8.8.0.1", port());
  EXPECT_TRUE(Connect().ok());  // the clock stands still
  EXPECT_THAT(dialler_.dialled(), ElementsAre("2606::1", "8.8.0.1"));
}

TEST_F(DialingConnectorTest, AddressesThatAreNotWorthItAreLeftOut) {
  SetAddresses({"2606::1", "8.8.0.1"});
  dialler_.Lead("8.8.0.1", port());
  ConnectTarget target = Target();
  std::vector<IpAddress> asked;
  target.leave_out = [&asked](std::vector<IpAddress>& addresses) {
    asked = addresses;
    addresses.erase(addresses.begin());
  };
  EXPECT_TRUE(loop_.Run(connector().Connect(std::move(target), loop_.scope())).ok());
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_THAT(dialler_.dialled(), ElementsAre("8.8.0.1"));
}

TEST_F(DialingConnectorTest, TellsWhichAddressesFailedAlsoWhenAnotherWasReached) {
  SetAddresses({"2606::1", "8.8.0.1"});
  dialler_.Fail("2606::1", asio::error::connection_refused);
  dialler_.Lead("8.8.0.1", port());
  const ConnectResult result = Connect();
  EXPECT_TRUE(result.ok());
  EXPECT_THAT(result.failed, ElementsAre(*IpAddress::Parse("2606::1")));
}

TEST_F(DialingConnectorTest, AllRefusedIsRefused) {
  SetAddresses({"2606::1", "8.8.0.1"});
  dialler_.Fail("2606::1", asio::error::connection_refused);
  dialler_.Fail("8.8.0.1", asio::error::connection_refused);
  ConnectResult result = Connect();
  ExpectFailure(result, FailureCode::kConnectionRefused, Phase::kConnect);
  EXPECT_THAT(result.failure->detail, HasSubstr("connecting to [2606::1]:8080: Connection refused"));
  EXPECT_THAT(result.failure->detail, HasSubstr("connecting to 8.8.0.1:8080: Connection refused"));
}

TEST_F(DialingConnectorTest, OtherErrorsAreUnavailableWithTheirText) {
  SetAddresses({"2606::1", "8.8.0.1"});
  dialler_.Fail("2606::1", asio::error::network_unreachable);
  dialler_.Fail("8.8.0.1", asio::error::connection_refused);
  ConnectResult result = Connect();
  ExpectFailure(result, FailureCode::kDestinationUnavailable, Phase::kConnect);
  EXPECT_THAT(result.failure->detail, HasSubstr("Network is unreachable"));
}

TEST_F(DialingConnectorTest, ASingleAddressFailsTheSameWay) {
  SetAddresses({"8.8.0.1"});
  dialler_.Fail("8.8.0.1", asio::error::connection_refused);
  ExpectFailure(Connect(), FailureCode::kConnectionRefused, Phase::kConnect);
  dialler_.Fail("8.8.0.1", asio::error::host_unreachable);
  ExpectFailure(Connect(), FailureCode::kDestinationUnavailable, Phase::kConnect);
}

TEST_F(DialingConnectorTest, CancellingARaceWaitsForEveryAttempt) {
  SetAddresses({"2606::1", "8.8.0.1"});
  StartAndDial(1);
  loop_.Advance(milliseconds(250));
  EXPECT_EQ(dialler_.running(), 2);
  scope_.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(result_.has_value());
  ExpectFailure(*result_, FailureCode::kCancelled, Phase::kConnect);
  EXPECT_EQ(dialler_.running(), 0);
}

TEST_F(DialingConnectorTest, SpreadsOverTheAddressesOfAFamilyAndKeepsTheOrderOfFamilies) {
  SetAddresses({"2606::1", "2606::2", "2606::3", "8.8.0.1", "8.8.0.2", "8.8.0.3"});
  std::set<std::string> first_v6, first_v4;
  for (const char* a : {"2606::1", "2606::2", "2606::3"}) dialler_.Fail(a, asio::error::network_unreachable);
  for (const char* a : {"8.8.0.1", "8.8.0.2", "8.8.0.3"}) dialler_.Lead(a, port());
  for (int i = 0; i < 40; ++i) {
    size_t before = dialler_.dialled().size();
    ASSERT_TRUE(Connect().ok());
    ASSERT_EQ(dialler_.dialled().size(), before + 2);
    first_v6.insert(dialler_.dialled()[before]);
    first_v4.insert(dialler_.dialled()[before + 1]);
  }
  EXPECT_THAT(first_v6, ElementsAre("2606::1", "2606::2", "2606::3"));
  EXPECT_THAT(first_v4, ElementsAre("8.8.0.1", "8.8.0.2", "8.8.0.3"));
}

TEST_F(DialingConnectorTest, HttpsEndsWithAHandshake) {
  TlsOrigin origin(loop_.context(), authority_.Issue("DNS:origin.test"));
  SetAddresses({"8.8.0.1"});
  dialler_.Lead("8.8.0.1", origin.port());
  for (int i = 0; i < 2; ++i) {
    ConnectResult result = loop_.Run(connector().Connect(Target(Scheme::kHttps), loop_.scope()));
    ASSERT_TRUE(result.ok()) << result.failure->detail;
    EXPECT_TRUE(result.phases.tls.has_value());
    std::string bytes = "x";
    asio::const_buffer buffers[] = {asio::buffer(bytes)};
    EXPECT_TRUE(loop_.Run(result.transport->WriteSome(buffers, loop_.scope())).ok());
    EXPECT_TRUE(loop_.Run(result.transport->ReadSome(bytes, loop_.scope())).ok());
  }
  EXPECT_EQ(metrics_.tls_handshakes.value(), 2);
  EXPECT_EQ(metrics_.tls_resumed.value(), 1);
}

TEST_F(DialingConnectorTest, HttpsWithABadCertificateFailsInTls) {
  TlsOrigin origin(loop_.context(), authority_.Issue("DNS:other.test"));
  SetAddresses({"8.8.0.1"});
  dialler_.Lead("8.8.0.1", origin.port());
  ConnectResult result = loop_.Run(connector().Connect(Target(Scheme::kHttps), loop_.scope()));
  ExpectFailure(result, FailureCode::kTlsCertificateError, Phase::kTls);
  EXPECT_TRUE(result.phases.tls.has_value());
}

TEST_F(DialingConnectorTest, TlsTimeout) {
  TlsOrigin origin(loop_.context(), authority_.Issue("DNS:origin.test"));
  origin.StaySilent();
  SetAddresses({"8.8.0.1"});
  dialler_.Lead("8.8.0.1", origin.port());
  loop_.Start(connector().Connect(Target(Scheme::kHttps), scope_), result_);
  // The connect phase leaves its timer behind when it ends, the TLS phase has the only deadline then.
  Instant begin = clock_.Now();
  loop_.RunUntil([&] { return dialler_.dialled().size() == 1; });
  for (int i = 0; i < 50 && !result_.has_value(); ++i) {
    loop_.Poll();
    loop_.context().run_one_for(milliseconds(1));
  }
  ASSERT_FALSE(result_.has_value());
  loop_.Advance(begin + seconds(5) - clock_.Now());
  ASSERT_TRUE(result_.has_value());
  ExpectFailure(*result_, FailureCode::kTlsTimeout, Phase::kTls);
  EXPECT_EQ(result_->phases.tls, seconds(5));
}

}  // namespace
}  // namespace fetchd::server
