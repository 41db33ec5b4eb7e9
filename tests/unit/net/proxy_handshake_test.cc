#include "net/proxy_handshake.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/loop.h"
#include "support/scripted_transport.h"

namespace fetchd::server {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

using Code = FailureCode;

constexpr char kSecret[] = "s3cr3t-pa55";

// With its NULs.
template <size_t n>
std::string Bytes(const char (&text)[n]) {
  return std::string(text, n - 1);
}

class ProxyHandshakeTest : public ::testing::Test {
 protected:
  ProxyHandshakeTest() { Renew(); }

  void Renew() {
    peer_ = std::make_shared<ScriptedPeer>(loop_.executor());
    transport_ = std::make_unique<ScriptedTransport>(peer_, Endpoint{IpAddress::V4({192, 0, 2, 7}), 3128});
  }
  static Proxy Http(bool with_credentials = false) {
    Proxy proxy;
    proxy.name = "office";
    proxy.kind = Proxy::Kind::kHttp;
    if (with_credentials) {
      proxy.username = "me";
      proxy.password = kSecret;
      proxy.authorization = "Basic bWU6czNjcjN0LXBhNTU=";
    }
    return proxy;
  }
  static Proxy Socks(bool with_credentials = false) {
    Proxy proxy = Http(with_credentials);
    proxy.kind = Proxy::Kind::kSocks5;
    return proxy;
  }
  static TunnelTarget Name() { return {.host = "origin.test", .address = std::nullopt, .port = 443}; }
  static TunnelTarget Address(const char* address) {
    return {.host = "origin.test", .address = IpAddress::Parse(address), .port = 443};
  }
  std::optional<Failure> Open(const Proxy& proxy, TunnelTarget target = Name()) {
    return loop_.Run(OpenTunnel(*transport_, proxy, std::move(target), loop_.scope()));
  }
  // What comes of an answer that ends with the connection, however it is cut.
  std::optional<Failure> Judge(const Proxy& proxy, const std::string& answer, bool ends = true) {
    std::optional<Failure> verdict;
    for (size_t piece : {size_t{1}, size_t{3}, SIZE_MAX}) {
      Renew();
      peer_->LimitReads(piece);
      if (!answer.empty()) peer_->Send(answer);
      if (ends) peer_->End();
      std::optional<Failure> now = Open(proxy);
      if (piece != 1) {
        EXPECT_EQ(now.has_value(), verdict.has_value()) << answer;
        if (now && verdict) {
          EXPECT_EQ(now->code, verdict->code) << answer << ": " << now->detail;
        }
      }
      verdict = std::move(now);
    }
    return verdict;
  }
  static void ExpectFailure(const std::optional<Failure>& failure, Code code, const std::string& detail) {
    ASSERT_TRUE(failure.has_value()) << "none; expected: " << detail;
    EXPECT_EQ(failure->code, code) << failure->detail;
    EXPECT_EQ(failure->phase, Phase::kProxy);
    EXPECT_EQ(failure->processed, Processed::kNo);
    EXPECT_THAT(failure->detail, HasSubstr("proxy office at 192.0.2.7:3128"));
    EXPECT_THAT(failure->detail, HasSubstr(detail));
    EXPECT_THAT(failure->detail, Not(HasSubstr(kSecret)));
    EXPECT_THAT(failure->detail, Not(HasSubstr("bWU6")));
  }
  // The rest of what is to be read.
  std::string Rest() {
    std::array<char, 64> bytes{};
    const IoResult result = loop_.Run(transport_->ReadSome(bytes, loop_.scope()));
    return std::string(bytes.data(), result.n);
  }

  FakeClock clock_;
  Loop loop_{clock_};
  std::shared_ptr<ScriptedPeer> peer_;
  std::unique_ptr<ScriptedTransport> transport_;
};

constexpr char kGood[] = "HTTP/1.1 200 Connection established\r\nvia: 1.1 office\r\n\r\n";

TEST_F(ProxyHandshakeTest, ConnectAsksForAName) {
  peer_->Send(kGood);
  EXPECT_EQ(Open(Http()), std::nullopt);
  EXPECT_EQ(peer_->received(),
            "CONNECT origin.test:443 HTTP/1.1\r\nhost: origin.test:443\r\nuser-agent: fetchd/0.1\r\n\r\n");
}

TEST_F(ProxyHandshakeTest, ConnectAsksForAnAddress) {
  peer_->Send(kGood);
  EXPECT_EQ(Open(Http(), Address("8.8.4.4")), std::nullopt);
  EXPECT_THAT(peer_->received(), HasSubstr("CONNECT 8.8.4.4:443 HTTP/1.1\r\nhost: 8.8.4.4:443\r\n"));
  Renew();
  peer_->Send(kGood);
  EXPECT_EQ(Open(Http(), Address("2001:4860::8844")), std::nullopt);
  EXPECT_THAT(peer_->received(), HasSubstr("CONNECT [2001:4860::8844]:443 HTTP/1.1\r\n"));
}

TEST_F(ProxyHandshakeTest, ConnectShowsCredentials) {
  peer_->Send(kGood);
  EXPECT_EQ(Open(Http(true)), std::nullopt);
  EXPECT_THAT(peer_->received(), HasSubstr("\r\nproxy-authorization: Basic bWU6czNjcjN0LXBhNTU=\r\n"));
}

TEST_F(ProxyHandshakeTest, ConnectTakesWhatProxiesSay) {
  for (const char* answer : {
           "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
           "HTTP/1.1 200 OK\r\n\r\n",
           "HTTP/1.1 200 \r\n\r\n",
           "HTTP/1.1 200\r\n\r\n",
           "HTTP/1.1 204 No Content\r\n\r\n",
           "HTTP/1.1 299 \xc3\xa4\r\nx:\r\ny: \tz \r\n\r\n",
           // They mean nothing there.
           "HTTP/1.1 200 OK\r\ncontent-length: 10\r\ntransfer-encoding: chunked\r\n\r\n",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
       }) {
    EXPECT_EQ(Judge(Http(), answer, false), std::nullopt) << answer;
  }
}

TEST_F(ProxyHandshakeTest, ConnectRefusals) {
  struct Row {
    std::string answer;
    Code code;
    const char* detail;
  };
  const std::string many(static_cast<size_t>(17) * 1024, 'x');
  std::string interim;
  for (int i = 0; i < 9; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  const Row rows[] = {
      // What a proxy may say.
      {"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\nbody",
       Code::kProxyAuthenticationRequired, "status 407 (Proxy Authentication Required)"},
      {"HTTP/1.0 401 Unauthorized\r\n\r\n", Code::kProxyAuthenticationRequired, "status 401"},
      {"HTTP/1.1 403 Forbidden\r\n\r\n", Code::kProxyRefused, "origin.test:443 with status 403 (Forbidden)"},
      {"HTTP/1.1 302 Found\r\nlocation: http://evil.test/\r\n\r\n", Code::kProxyRefused, "status 302"},
      {"HTTP/1.1 400 \r\n\r\n", Code::kProxyRefused, "status 400"},
      {"HTTP/1.1 502 Bad Gateway\r\n\r\n", Code::kDestinationUnavailable, "status 502"},
      {"HTTP/1.1 503 x\r\ncontent-length: 3\r\n\r\nabc", Code::kDestinationUnavailable, "status 503"},
      {"HTTP/1.1 504 x\r\n\r\n", Code::kDestinationUnavailable, "status 504"},
      {"HTTP/1.1 403 a\tb\x01\r\n\r\n", Code::kProxyProtocolError, "status line is malformed"},
      {"HTTP/1.1 403 \xff\xfe\r\n\r\n", Code::kProxyRefused, "status 403 (\?\?)"},
      // What is not HTTP/1.
      {Bytes("\x05\x00"), Code::kProxyProtocolError, "not HTTP/1"},
      {Bytes("\x15\x03\x01\x00\x02\x02\x28"), Code::kProxyProtocolError, "not HTTP/1"},
      {"SSH-2.0-OpenSSH\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"<html>", Code::kProxyProtocolError, "not HTTP/1"},
      {"http/1.1 200 OK\r\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"HTTP/2 200\r\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"\r\nHTTP/1.1 200 OK\r\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"ICY 200 OK\r\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"HTTP/1.1 200 OK\n\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"HTTP/1.1 200 OK\r\nx: y\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"HTTP/1.1 200 OK\rx\r\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {"HTTP/1.1 200 OK\r\r\n\r\n", Code::kProxyProtocolError, "not HTTP/1"},
      {Bytes("HTTP/1.1 200 O\0K\r\n\r\n"), Code::kProxyProtocolError, "not HTTP/1"},
      // Status lines.
      {"HTTP/1.2 200 OK\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1  200 OK\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1 20 OK\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1 2000 OK\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1 -20 OK\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1 0x2 OK\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1\r\n\r\n", Code::kProxyProtocolError, "status line"},
      {"HTTP/1.1 099 x\r\n\r\n", Code::kProxyProtocolError, "status that is none"},
      {"HTTP/1.1 600 x\r\n\r\n", Code::kProxyProtocolError, "status that is none"},
      {"HTTP/1.1 101 Switching\r\n\r\n", Code::kProxyProtocolError, "status that is none"},
      // Fields.
      {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Code::kProxyProtocolError, "header fields is malformed"},
      {"HTTP/1.1 200 OK\r\n: x\r\n\r\n", Code::kProxyProtocolError, "header fields is malformed"},
      {"HTTP/1.1 200 OK\r\na b: x\r\n\r\n", Code::kProxyProtocolError, "header fields is malformed"},
      {"HTTP/1.1 200 OK\r\na : x\r\n\r\n", Code::kProxyProtocolError, "header fields is malformed"},
      {"HTTP/1.1 200 OK\r\na: x\r\n folded\r\n\r\n", Code::kProxyProtocolError, "header fields is malformed"},
      {"HTTP/1.1 200 OK\r\na: \x7f\r\n\r\n", Code::kProxyProtocolError, "header fields is malformed"},
      // Too much.
      {"HTTP/1.1 200 " + many + "\r\n\r\n", Code::kProxyProtocolError, "over 16 KiB"},
      {"HTTP/1.1 200 OK\r\na: " + many + "\r\n\r\n", Code::kProxyProtocolError, "over 16 KiB"},
      {interim + "HTTP/1.1 200 OK\r\n\r\n", Code::kProxyProtocolError, "one interim response after the other"},
      // What follows is the proxy's doing: the origin was not sent anything.
      {"HTTP/1.1 200 OK\r\n\r\nx", Code::kProxyProtocolError, "more than its answer"},
      {"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", Code::kProxyProtocolError, "more than its answer"},
      {"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Code::kProxyProtocolError, "more than its answer"},
      // The end.
      {"", Code::kProxyUnavailable, "closed the connection"},
      {"HTTP/1.1 200 OK\r\n\r\n", Code::kProxyUnavailable, "closed the connection"},
  };
  for (const Row& row : rows) ExpectFailure(Judge(Http(true), row.answer), row.code, row.detail);
}

TEST_F(ProxyHandshakeTest, TheLargestHeadIsTakenAndOneByteMoreIsNot) {
  const auto answer = [](size_t size) {
    std::string text = "HTTP/1.1 200 OK\r\na: ";
    return text + std::string(size - text.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(Judge(Http(), answer(16 * 1024), false), std::nullopt);
  ExpectFailure(Judge(Http(), answer(16 * 1024 + 1), false), Code::kProxyProtocolError, "over 16 KiB");
}

TEST_F(ProxyHandshakeTest, AnAnswerToConnectThatIsCutAnywhereIsNoTunnel) {
  const std::string good = kGood;
  for (size_t size = 0; size < good.size(); ++size)
    ExpectFailure(Judge(Http(), good.substr(0, size)), Code::kProxyUnavailable, "closed the connection");
}

TEST_F(ProxyHandshakeTest, AnOriginThatMaySpeakFirstIsHeard) {
  peer_->Send(std::string(kGood) + "SETTINGS");
  TunnelTarget target = Name();
  target.origin_speaks_first = true;
  EXPECT_EQ(Open(Http(), target), std::nullopt);
  EXPECT_EQ(Rest(), "SETTINGS");
}

TEST_F(ProxyHandshakeTest, AProxyThatStallsIsGivenUp) {
  const std::string good = kGood;
  for (const std::string& begun : {std::string(), good.substr(0, 9), good.substr(0, good.size() - 1)}) {
    Renew();
    if (!begun.empty()) peer_->Send(begun);
    CancelScope scope(loop_.scope(), After(clock_.Now(), seconds(10)), Code::kProxyTimeout);
    const Proxy proxy = Http();
    std::optional<std::optional<Failure>> result;
    loop_.Start(OpenTunnel(*transport_, proxy, Name(), scope), result);
    loop_.Poll();
    loop_.Advance(seconds(10) - Duration(1));
    EXPECT_FALSE(result.has_value());
    loop_.Advance(Duration(1));
    ASSERT_TRUE(result.has_value());
    ExpectFailure(*result, Code::kProxyTimeout, "not open in time");
  }
}

TEST_F(ProxyHandshakeTest, AProxyThatTakesNothingIsGivenUp) {
  for (const Proxy& proxy : {Http(), Socks()}) {
    Renew();
    peer_->BlockWritesAfter(2);
    CancelScope scope(loop_.scope(), After(clock_.Now(), seconds(1)), Code::kProxyTimeout);
    std::optional<std::optional<Failure>> result;
    loop_.Start(OpenTunnel(*transport_, proxy, Name(), scope), result);
    loop_.Poll();
    loop_.Advance(seconds(1));
    ASSERT_TRUE(result.has_value());
    ExpectFailure(*result, Code::kProxyTimeout, "not open in time");
  }
}

TEST_F(ProxyHandshakeTest, EveryOperationMayFail) {
  const std::string socks = Bytes("\x05\x02\x01\x00\x05\x00\x00\x03\x04host\x01\x02");
  for (const auto& [proxy, answer] : {std::pair(Http(true), std::string(kGood)), std::pair(Socks(true), socks)}) {
    int n = 1;
    for (;; ++n) {
      Renew();
      peer_->LimitWrites(5);
      peer_->Send(answer);
      peer_->FailAtOperation(n);
      const std::optional<Failure> failure = Open(proxy);
      if (!failure.has_value()) break;
      ExpectFailure(failure, Code::kProxyUnavailable, "reset the connection");
    }
    EXPECT_GT(n, 8);
  }
}

constexpr char kNoMethod[] = "\x05\x00";
// After kNoMethod: open, by 1.2.3.4:5.
constexpr char kOpen[] = "\x05\x00\x00\x01\x01\x02\x03\x04\x00\x05";

TEST_F(ProxyHandshakeTest, SocksAsksForAName) {
  peer_->Send(Bytes(kNoMethod) + Bytes(kOpen));
  EXPECT_EQ(Open(Socks()), std::nullopt);
  EXPECT_EQ(peer_->received(), Bytes("\x05\x01\x00") + Bytes("\x05\x01\x00\x03\x0borigin.test\x01\xbb"));
}

TEST_F(ProxyHandshakeTest, SocksAsksForAnAddress) {
  peer_->Send(Bytes(kNoMethod) + Bytes(kOpen));
  EXPECT_EQ(Open(Socks(), Address("8.8.4.4")), std::nullopt);
  EXPECT_EQ(peer_->received(), Bytes("\x05\x01\x00") + Bytes("\x05\x01\x00\x01\x08\x08\x04\x04\x01\xbb"));
  Renew();
  peer_->Send(Bytes(kNoMethod) + Bytes(kOpen));
  EXPECT_EQ(Open(Socks(), Address("2001:4860::8844")), std::nullopt);
  EXPECT_EQ(peer_->received(), Bytes("\x05\x01\x00") + Bytes("\x05\x01\x00\x04\x20\x01\x48\x60") +
                                   std::string(10, '\0') + Bytes("\x88\x44\x01\xbb"));
}

TEST_F(ProxyHandshakeTest, SocksLogsIn) {
  peer_->Send(Bytes("\x05\x02\x01\x00") + Bytes(kOpen));
  EXPECT_EQ(Open(Socks(true)), std::nullopt);
  EXPECT_EQ(peer_->received(), Bytes("\x05\x02\x00\x02") + Bytes("\x01\x02me\x0bs3cr3t-pa55") +
                                   Bytes("\x05\x01\x00\x03\x0borigin.test\x01\xbb"));
}

TEST_F(ProxyHandshakeTest, SocksDoesNotLogInWhereNobodyAsks) {
  peer_->Send(Bytes(kNoMethod) + Bytes(kOpen));
  EXPECT_EQ(Open(Socks(true)), std::nullopt);
  EXPECT_THAT(peer_->received(), Not(HasSubstr(kSecret)));
}

TEST_F(ProxyHandshakeTest, SocksReadsTheProxysAddressToItsEndAndNoFurther) {
  for (const std::string& answer : {
           Bytes("\x05\x00\x00\x01\x01\x02\x03\x04\x00\x05"),
           Bytes("\x05\x00\x00\x04") + std::string(18, 'x'),
           Bytes("\x05\x00\x00\x03\x00\x00\x05"),
           Bytes("\x05\x00\x00\x03\xff") + std::string(257, 'x'),
       }) {
    Renew();
    peer_->Send(Bytes(kNoMethod) + answer + "SETTINGS");
    TunnelTarget target = Name();
    target.origin_speaks_first = true;
    EXPECT_EQ(Open(Socks(), target), std::nullopt);
    EXPECT_EQ(Rest(), "SETTINGS");
    ExpectFailure(Judge(Socks(), Bytes(kNoMethod) + answer + "x"), Code::kProxyProtocolError, "more than its answer");
    for (size_t size = 0; size < answer.size(); ++size) {
      ExpectFailure(Judge(Socks(), Bytes(kNoMethod) + answer.substr(0, size)), Code::kProxyUnavailable,
                    "closed the connection");
    }
  }
}

TEST_F(ProxyHandshakeTest, SocksRefusals) {
  struct Row {
    std::string answer;
    Code code;
    const char* detail;
  };
  const auto reply = [](char code) {
    return Bytes("\x05\x02\x01\x00\x05") + code + Bytes("\x00\x01\x00\x00\x00\x00\x00\x00");
  };
  const Row rows[] = {
      // The method.
      {"", Code::kProxyUnavailable, "closed the connection"},
      {Bytes("\x05"), Code::kProxyUnavailable, "closed the connection"},
      {Bytes("\x04\x00"), Code::kProxyProtocolError, "does not speak SOCKS5"},
      {"HTTP/1.1 400 Bad Request\r\n\r\n", Code::kProxyProtocolError, "does not speak SOCKS5"},
      {Bytes("\x05\x01"), Code::kProxyProtocolError, "not offered"},
      {Bytes("\x05\x03"), Code::kProxyProtocolError, "not offered"},
      {Bytes("\x05\xff"), Code::kProxyAuthenticationRequired, "takes no user name and password"},
      // User name and password.
      {Bytes("\x05\x02"), Code::kProxyUnavailable, "closed the connection"},
      {Bytes("\x05\x02\x01"), Code::kProxyUnavailable, "closed the connection"},
      {Bytes("\x05\x02\x05\x00"), Code::kProxyProtocolError, "user name and password is malformed"},
      {Bytes("\x05\x02\x01\x01"), Code::kProxyAuthenticationRequired, "refused user name and password"},
      {Bytes("\x05\x02\x01\xff"), Code::kProxyAuthenticationRequired, "refused user name and password"},
      // The request.
      {Bytes("\x05\x02\x01\x00"), Code::kProxyUnavailable, "closed the connection"},
      {Bytes("\x05\x02\x01\x00\x04\x00\x00\x01"), Code::kProxyProtocolError, "SOCKS5 request is malformed"},
      {Bytes("\x05\x02\x01\x00\x05\x00\x01\x01"), Code::kProxyProtocolError, "SOCKS5 request is malformed"},
      {Bytes("\x05\x02\x01\x00\x05\x00\x00\x02"), Code::kProxyProtocolError, "unknown type of address"},
      {Bytes("\x05\x02\x01\x00\x05\x00\x00\x00"), Code::kProxyProtocolError, "unknown type of address"},
      {reply(1), Code::kDestinationUnavailable, "general failure"},
      {reply(2), Code::kProxyRefused, "not allowed by its rules"},
      {reply(3), Code::kDestinationUnavailable, "network unreachable"},
      {reply(4), Code::kDestinationUnavailable, "host unreachable"},
      {reply(5), Code::kConnectionRefused, "connection refused"},
      {reply(6), Code::kDestinationUnavailable, "TTL expired"},
      {reply(7), Code::kProxyRefused, "CONNECT is not supported"},
      {reply(8), Code::kDestinationUnavailable, "type of address is not supported"},
      {reply(9), Code::kProxyProtocolError, "unknown reply 9"},
      {reply('\xff'), Code::kProxyProtocolError, "unknown reply 255"},
  };
  for (const Row& row : rows) ExpectFailure(Judge(Socks(true), row.answer), row.code, row.detail);
}

TEST_F(ProxyHandshakeTest, SocksWithoutCredentials) {
  ExpectFailure(Judge(Socks(), Bytes("\x05\xff")), Code::kProxyAuthenticationRequired, "it wants credentials");
  ExpectFailure(Judge(Socks(), Bytes("\x05\x02")), Code::kProxyProtocolError, "not offered");
}

TEST_F(ProxyHandshakeTest, TheCallersStopHasItsOwnCode) {
  CancelScope scope(loop_.scope(), kNever, Code::kInternal);
  const Proxy proxy = Socks();
  std::optional<std::optional<Failure>> result;
  loop_.Start(OpenTunnel(*transport_, proxy, Name(), scope), result);
  loop_.Poll();
  scope.Cancel(Code::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(result.has_value());
  ExpectFailure(*result, Code::kCancelled, "not open in time");
}

}  // namespace
}  // namespace fetchd::server
