#include "ops/ops_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

namespace fetchd::server {
namespace {

namespace asio = boost::asio;

const Endpoint kAnyPort = {.address = IpAddress::V4({127, 0, 0, 1}), .port = 0};

class OpsServerTest : public testing::Test {
 protected:
  void Start(OpsOptions options) {
    OpsPages pages;
    pages.metrics = [] { return std::string("a_metric 1\n"); };
    pages.metrics_content_type = "text/plain; version=0.0.4";
    pages.ready = [this] { return ready_.load(); };
    auto server = OpsServer::Start(options, std::move(pages));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }

  asio::ip::tcp::socket Connect() {
    asio::ip::tcp::socket socket(context_);
    socket.connect({asio::ip::address_v4::loopback(), server_->endpoint().port});
    return socket;
  }

  // Everything the server sends until it closes.
  std::string Exchange(const std::string& request) {
    asio::ip::tcp::socket socket = Connect();
    boost::system::error_code error;
    asio::write(socket, asio::buffer(request), error);
    return ReadAll(socket);
  }

  static std::string ReadAll(asio::ip::tcp::socket& socket) {
    std::string reply;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(reply), error);
    return reply;
  }

  std::string Get(const std::string& path) {
    return Exchange("GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  }

  std::atomic<bool> ready_{true};
  std::unique_ptr<OpsServer> server_;
  asio::io_context context_;
};

testing::AssertionResult Has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "no \"" << part << "\" in " << text;
}

TEST_F(OpsServerTest, ShowsMetrics) {
  Start({.listen = kAnyPort});
  EXPECT_NE(server_->endpoint().port, 0);
  const std::string reply = Get("/metrics");
  EXPECT_TRUE(Has(reply, "HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(Has(reply, "Content-Type: text/plain; version=0.0.4\r\n"));
  EXPECT_TRUE(Has(reply, "\r\n\r\na_metric 1\n"));
  EXPECT_TRUE(Has(Get("/metrics?name=x"), "200 OK"));
}

TEST_F(OpsServerTest, ReadyzFollowsReadinessAndLivezDoesNot) {
  Start({.listen = kAnyPort});
  EXPECT_TRUE(Has(Get("/readyz"), "HTTP/1.1 200 OK"));
  ready_ = false;
  EXPECT_TRUE(Has(Get("/readyz"), "HTTP/1.1 503 Service Unavailable"));
  EXPECT_TRUE(Has(Get("/livez"), "HTTP/1.1 200 OK"));
}

TEST_F(OpsServerTest, RefusesOtherPathsAndMethods) {
  Start({.listen = kAnyPort});
  EXPECT_TRUE(Has(Get("/"), "HTTP/1.1 404 Not Found"));
  const std::string reply =
      Exchange("POST /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(Has(reply, "HTTP/1.1 405 Method Not Allowed"));
  EXPECT_TRUE(Has(reply, "Allow: GET, HEAD"));
}

TEST_F(OpsServerTest, HeadHasTheLengthWithoutTheBody) {
  Start({.listen = kAnyPort});
  const std::string reply = Exchange("HEAD /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(Has(reply, "Content-Length: 11\r\n"));
  EXPECT_EQ(reply.find("a_metric"), std::string::npos);
}

TEST_F(OpsServerTest, KeepsAConnectionForFurtherRequests) {
  Start({.listen = kAnyPort});
  const std::string reply = Exchange(
      "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n"
      "GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(Has(reply, "ok\n"));
  EXPECT_TRUE(Has(reply, "ready\n"));
}

TEST_F(OpsServerTest, ClosesOnGarbageAndOnHugeHeads) {
  Start({.listen = kAnyPort});
  EXPECT_EQ(Exchange("\x16\x03\x01 not http\r\n\r\n"), "");
  EXPECT_EQ(Exchange("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(9000, 'a') + "\r\n\r\n"), "");
  EXPECT_TRUE(Has(Get("/livez"), "200 OK"));
}

TEST_F(OpsServerTest, ClosesAConnectionThatBringsNoRequestInTime) {
  Start({.listen = kAnyPort, .timeout = std::chrono::milliseconds(20)});
  asio::ip::tcp::socket socket = Connect();
  EXPECT_EQ(ReadAll(socket), "");
}

TEST_F(OpsServerTest, ClosesConnectionsBeyondTheLimit) {
  Start({.listen = kAnyPort, .max_connections = 1});
  asio::ip::tcp::socket first = Connect();
  asio::ip::tcp::socket second = Connect();
  EXPECT_EQ(ReadAll(second), "");
  asio::write(first, asio::buffer(std::string("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
  EXPECT_TRUE(Has(ReadAll(first), "200 OK"));
}

TEST_F(OpsServerTest, SaysWhereItCannotListen) {
  Start({.listen = kAnyPort});
  OpsPages pages;
  const auto second = OpsServer::Start({.listen = server_->endpoint()}, std::move(pages));
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(Has(std::string(second.status().message()), server_->endpoint().ToString()));
  EXPECT_TRUE(Has(std::string(second.status().message()), "in use"));
}

TEST_F(OpsServerTest, EndsWithConnectionsOpen) {
  Start({.listen = kAnyPort});
  asio::ip::tcp::socket socket = Connect();
  server_.reset();
  EXPECT_EQ(ReadAll(socket), "");
}

}  // namespace
}  // namespace fetchd::server
