#include "net/tls_transport.h"

#include <memory>
#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/dialler.h"
#include "support/certificates.h"
#include "support/loop.h"
#include "support/tls_origin.h"

namespace fetchd::server {
namespace {

using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

using Kind = IoResult::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TlsTransportTest : public ::testing::Test {
 protected:
  TlsTransportTest() : loop_(clock_), bundle_(authority_.pem()), sessions_(16) {
    context_ = *TlsContext::Create({false, bundle_.path()});
  }

  void Serve(const std::string& names = "DNS:origin.test", long from = -3600, long until = 3600) {
    origin_ = std::make_unique<TlsOrigin>(loop_.context(), authority_.Issue(names, from, until));
  }
  std::optional<Failure> Connect(const std::string& host = "origin.test") {
    Endpoint endpoint{IpAddress::V4({127, 0, 0, 1}), origin_->port()};
    TcpDialler dialler(loop_.executor());
    Dialler::Result dialled = loop_.Run(dialler.Dial(endpoint, loop_.scope()));
    EXPECT_FALSE(dialled.ec);
    transport_ = std::make_unique<TlsTransport>(std::move(dialled.socket), endpoint, *context_, sessions_, host, host,
                                                HttpVersion::kHttp1);
    return loop_.Run(transport_->Handshake(loop_.scope(), metrics_));
  }
  IoResult Read(size_t size = 65536) {
    buffer_.resize(size);
    IoResult result = loop_.Run(transport_->ReadSome(buffer_, loop_.scope()));
    buffer_.resize(result.n);
    return result;
  }
  IoResult Write(std::string_view a, std::string_view b = {}) {
    asio::const_buffer buffers[] = {asio::buffer(a.data(), a.size()), asio::buffer(b.data(), b.size())};
    return loop_.Run(transport_->WriteSome(buffers, loop_.scope()));
  }
  // Fails with the code and a detail that says `detail`.
  void ExpectFailure(const std::optional<Failure>& failure, FailureCode code, const char* detail) {
    ASSERT_TRUE(failure.has_value());
    EXPECT_EQ(failure->code, code) << failure->detail;
    EXPECT_EQ(failure->phase, Phase::kTls);
    EXPECT_EQ(failure->processed, Processed::kNo);
    EXPECT_THAT(failure->detail, HasSubstr(detail));
  }

  FakeClock clock_;
  Loop loop_;
  TestAuthority authority_;
  TemporaryFile bundle_;
  TlsSessionCache sessions_;
  ThreadMetrics metrics_;
  std::unique_ptr<TlsContext> context_;
  std::unique_ptr<TlsOrigin> origin_;
  std::unique_ptr<TlsTransport> transport_;
  std::string buffer_;
};

TEST_F(TlsTransportTest, CarriesBytesBothWays) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  IoResult written = Write("head", "body");
  EXPECT_EQ(written.n, 8u);
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(buffer_, "headbody");
  EXPECT_EQ(metrics_.tls_handshakes.value(), 1);
  EXPECT_EQ(metrics_.tls_resumed.value(), 0);
}

TEST_F(TlsTransportTest, LargeBodiesGoThroughInPieces) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  std::string sent;
  for (int i = 0; sent.size() < 200000; ++i) sent += std::to_string(i);
  std::string got;
  size_t written = 0;
  while (got.size() < sent.size()) {
    if (written < sent.size()) {
      IoResult result = Write(std::string_view(sent).substr(written, 50000));
      ASSERT_TRUE(result.ok());
      written += result.n;
    }
    if (got.size() < written) {
      ASSERT_TRUE(Read(10000).ok());
      got += buffer_;
    }
  }
  EXPECT_EQ(got, sent);
}

TEST_F(TlsTransportTest, OffersNameAndProtocol) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  EXPECT_THAT(origin_->server_names(), ElementsAre("origin.test"));
  EXPECT_EQ(origin_->alpn(), "\x08http/1.1");
}

TEST_F(TlsTransportTest, ANameWithTheRootsDotIsTheSameName) {
  Serve();
  ASSERT_EQ(Connect("origin.test."), std::nullopt);
  EXPECT_THAT(origin_->server_names(), ElementsAre("origin.test"));
}

TEST_F(TlsTransportTest, AnAddressIsCheckedAsOneAndHasNoSni) {
  Serve("IP:127.0.0.1");
  ASSERT_EQ(Connect("127.0.0.1"), std::nullopt);
  EXPECT_THAT(origin_->server_names(), ElementsAre(""));
}

TEST_F(TlsTransportTest, ANameThatReadsLikeTheAddressIsNotTheAddress) {
  Serve("DNS:127.0.0.1");
  ExpectFailure(Connect("127.0.0.1"), FailureCode::kTlsCertificateError, "IP address mismatch");
}

TEST_F(TlsTransportTest, RefusesAWrongHost) {
  Serve("DNS:other.test,DNS:*.origin.test");
  ExpectFailure(Connect(), FailureCode::kTlsCertificateError, "hostname mismatch");
  EXPECT_EQ(Connect("a.origin.test"), std::nullopt);
  ExpectFailure(Connect("a.b.origin.test"), FailureCode::kTlsCertificateError, "hostname mismatch");
  EXPECT_EQ(metrics_.tls_handshakes.value(), 1);
}

TEST_F(TlsTransportTest, RefusesAnExpiredCertificate) {
  Serve("DNS:origin.test", -7200, -3600);
  ExpectFailure(Connect(), FailureCode::kTlsCertificateError, "certificate has expired");
}

TEST_F(TlsTransportTest, RefusesACertificateOfTheFuture) {
  Serve("DNS:origin.test", 3600, 7200);
  ExpectFailure(Connect(), FailureCode::kTlsCertificateError, "not yet valid");
}

TEST_F(TlsTransportTest, RefusesAnUnknownAuthority) {
  Serve();
  context_ = *TlsContext::Create({true, ""});
  ExpectFailure(Connect(), FailureCode::kTlsCertificateError, "unable to get local issuer certificate");
}

TEST_F(TlsTransportTest, RefusesASelfSignedCertificate) {
  TestAuthority self("self");
  Certificate certificate = self.Issue("DNS:origin.test");
  origin_ =
      std::make_unique<TlsOrigin>(loop_.context(), Certificate{certificate.pem + self.pem(), certificate.key_pem});
  ExpectFailure(Connect(), FailureCode::kTlsCertificateError, "self-signed certificate in certificate chain");
}

TEST_F(TlsTransportTest, RefusesAnotherAuthorityOfTheSameName) {
  TestAuthority impostor;
  origin_ = std::make_unique<TlsOrigin>(loop_.context(), impostor.Issue("DNS:origin.test"));
  ExpectFailure(Connect(), FailureCode::kTlsCertificateError, "certificate signature failure");
}

TEST_F(TlsTransportTest, RefusesOldVersions) {
  Serve();
  SSL_CTX_set_security_level(origin_->native(), 0);
  SSL_CTX_set_min_proto_version(origin_->native(), TLS1_1_VERSION);
  SSL_CTX_set_max_proto_version(origin_->native(), TLS1_1_VERSION);
  std::optional<Failure> failure = Connect();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->code, FailureCode::kTlsAlertReceived) << failure->detail;
  EXPECT_THAT(failure->detail, HasSubstr("protocol version"));
}

TEST_F(TlsTransportTest, APeerThatSpeaksSomethingElseIsAProtocolError) {
  Serve();
  asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor(loop_.executor(),
                                                                {asio::ip::address_v4::loopback(), 0});
  Endpoint endpoint{IpAddress::V4({127, 0, 0, 1}), acceptor.local_endpoint().port()};
  TcpDialler dialler(loop_.executor());
  Dialler::Result dialled = loop_.Run(dialler.Dial(endpoint, loop_.scope()));
  TcpSocket far(loop_.executor());
  acceptor.accept(far);
  asio::write(far, asio::buffer(std::string_view("HTTP/1.1 400 Bad Request\r\n\r\n")));
  transport_ = std::make_unique<TlsTransport>(std::move(dialled.socket), endpoint, *context_, sessions_, "origin.test",
                                              "key", HttpVersion::kAuto);
  // Perhaps it is the session offered that broke the handshake.
  SslSessionPtr other(SSL_SESSION_new());
  SSL_SESSION_set_protocol_version(other.get(), TLS1_3_VERSION);
  sessions_.Put("key", std::move(other));
  ExpectFailure(loop_.Run(transport_->Handshake(loop_.scope(), metrics_)), FailureCode::kTlsProtocolError,
                "wrong version number");
  EXPECT_EQ(sessions_.origins(), 0u);
}

TEST_F(TlsTransportTest, APeerThatHangsUpTerminates) {
  Serve();
  origin_->HangUp();
  ExpectFailure(Connect(), FailureCode::kConnectionTerminated, "origin.test");
}

TEST_F(TlsTransportTest, ASilentPeerEndsWithTheScope) {
  Serve();
  origin_->StaySilent();
  Endpoint endpoint{IpAddress::V4({127, 0, 0, 1}), origin_->port()};
  TcpDialler dialler(loop_.executor());
  Dialler::Result dialled = loop_.Run(dialler.Dial(endpoint, loop_.scope()));
  transport_ = std::make_unique<TlsTransport>(std::move(dialled.socket), endpoint, *context_, sessions_, "origin.test",
                                              "key", HttpVersion::kAuto);
  CancelScope scope(loop_.scope(), clock_.Now() + std::chrono::seconds(5), FailureCode::kTlsTimeout);
  std::optional<std::optional<Failure>> failure;
  loop_.Start(transport_->Handshake(scope, metrics_), failure);
  loop_.Poll();
  loop_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(failure.has_value());
  ExpectFailure(*failure, FailureCode::kTlsTimeout, "in time");
}

TEST_F(TlsTransportTest, ResumesWithTheNewestTicketAndWithTheLastOneAgain) {
  Serve();
  SSL_CTX_set_num_tickets(origin_->native(), 1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Connect(), std::nullopt);
    Write("x");
    ASSERT_TRUE(Read().ok());  // the ticket comes before the bytes
    EXPECT_EQ(metrics_.tls_resumed.value(), i);
    transport_->Close();
  }
  // Two connections side by side: the second finds no other ticket.
  ASSERT_EQ(Connect(), std::nullopt);
  EXPECT_EQ(metrics_.tls_resumed.value(), 3);
  auto first = std::move(transport_);
  ASSERT_EQ(Connect(), std::nullopt);
  EXPECT_EQ(metrics_.tls_resumed.value(), 4);
  EXPECT_EQ(metrics_.tls_handshakes.value(), 5);
}

TEST_F(TlsTransportTest, ResumesTls12) {
  Serve();
  SSL_CTX_set_max_proto_version(origin_->native(), TLS1_2_VERSION);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Connect(), std::nullopt);
    Write("x");
    ASSERT_TRUE(Read().ok());
    transport_->Close();
  }
  EXPECT_EQ(metrics_.tls_resumed.value(), 2);
}

TEST_F(TlsTransportTest, ASessionIsForItsOriginOnly) {
  Serve("DNS:origin.test,DNS:other.test");
  ASSERT_EQ(Connect("origin.test"), std::nullopt);
  Write("x");
  Read();
  ASSERT_EQ(Connect("other.test"), std::nullopt);
  EXPECT_EQ(metrics_.tls_resumed.value(), 0);
}

TEST_F(TlsTransportTest, AnEndWithCloseNotifyIsEof) {
  Serve();
  origin_->CloseAfterEcho();
  ASSERT_EQ(Connect(), std::nullopt);
  Write("x");
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(Read().kind, Kind::kEof);
  EXPECT_EQ(Read().kind, Kind::kEof);
}

TEST_F(TlsTransportTest, AnEndWithoutCloseNotifyIsTruncation) {
  Serve();
  origin_->CutAfterEcho();
  ASSERT_EQ(Connect(), std::nullopt);
  Write("x");
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(Read().kind, Kind::kTruncatedTls);
  EXPECT_EQ(Read().kind, Kind::kTruncatedTls);
  EXPECT_FALSE(transport_->LooksAlive());
}

TEST_F(TlsTransportTest, LooksAliveAlsoWhenTicketsHaveCome) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  EXPECT_TRUE(transport_->LooksAlive());
  // Tickets are taken in by looking alone.
  loop_.RunUntil([&] { return transport_->LooksAlive() && sessions_.origins() == 1; });
  Write("x");
  Read();
  EXPECT_TRUE(transport_->LooksAlive());
}

TEST_F(TlsTransportTest, LooksDeadWithUnaskedBytesOrAfterTheEnd) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  Write("x");
  loop_.RunUntil([&] { return !transport_->LooksAlive(); });
  EXPECT_TRUE(Read().ok());
  EXPECT_TRUE(transport_->LooksAlive());
  origin_->CloseAfterEcho();
  Write("y");
  Read();
  loop_.RunUntil([&] { return !transport_->LooksAlive(); });
}

TEST_F(TlsTransportTest, CloseSaysGoodbye) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  Write("x");
  Read();
  transport_->Close();
  transport_->Close();
  EXPECT_FALSE(transport_->LooksAlive());
  EXPECT_EQ(Read().kind, Kind::kError);
  EXPECT_EQ(Write("x").kind, Kind::kError);
  loop_.RunUntil([&] { return origin_->closed_in_order() == 1; });
}

TEST_F(TlsTransportTest, CloseEndsAWaitingRead) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  std::optional<IoResult> result;
  buffer_.resize(16);
  loop_.Start(transport_->ReadSome(buffer_, loop_.scope()), result);
  loop_.Poll();
  transport_->Close();
  loop_.Poll();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->kind, Kind::kError);
}

TEST_F(TlsTransportTest, StoppingTheScopeEndsTheReadAndKeepsTheBytes) {
  Serve();
  ASSERT_EQ(Connect(), std::nullopt);
  CancelScope scope(loop_.scope(), clock_.Now() + std::chrono::seconds(1), FailureCode::kConnectionReadTimeout);
  std::optional<IoResult> result;
  buffer_.resize(16);
  loop_.Start(transport_->ReadSome(buffer_, scope), result);
  loop_.Poll();
  loop_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->kind, Kind::kStopped);
  Write("later");
  ASSERT_TRUE(Read().ok());
  EXPECT_EQ(buffer_, "later");
}

}  // namespace
}  // namespace fetchd::server
