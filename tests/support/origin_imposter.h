// An origin on loopback that does what its paths say.
#pragma once

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace fetchd::server {

// Serves HTTP/1.1 on 127.0.0.1, on a thread of its own, from construction to destruction. Paths:
//   /ok              200, "ok"
//   /bytes/N         200, N bytes, Content-Length
//   /chunked/N       200, N bytes in chunks of at most 1000
//   /status/N        that status, no body
//   /flaky/N         503 for the first N requests of this path, then 200
//   /delay/N         200 after N ms
//   /close           200 with Connection: close
//   /drop            closes the connection instead of an answer
//   /hangup          200, keep-alive, and closes the connection right after it
//   /stall           takes the request and says nothing
//   /half            200, the half of its body, then nothing
//   /echo            200, the request's body (Content-Length or chunked)
class OriginImposter {
 public:
  OriginImposter() : acceptor_(context_, {boost::asio::ip::address_v4::loopback(), 0}) {
    port_ = acceptor_.local_endpoint().port();
    boost::asio::co_spawn(context_, Accept(*this), boost::asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }
  ~OriginImposter() {
    boost::asio::post(context_, [this] { context_.stop(); });
    thread_.join();
  }
  OriginImposter(const OriginImposter&) = delete;
  OriginImposter& operator=(const OriginImposter&) = delete;

  uint16_t port() const { return port_; }
  std::string Url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
  }
  int connections() const { return connections_; }
  int requests() const { return requests_; }
  // Closes every connection.
  void DropConnections() {
    boost::asio::post(context_, [this] {
      for (Socket* socket : open_) {
        boost::system::error_code ignored;
        socket->close(ignored);
      }
    });
  }

 private:
  using Socket = boost::asio::ip::tcp::socket;
  template <typename T>
  using Work = boost::asio::awaitable<T>;
  static constexpr auto kToken = boost::asio::as_tuple(boost::asio::use_awaitable);

  static Work<void> Accept(OriginImposter& self) {
    for (;;) {
      auto [error, socket] = co_await self.acceptor_.async_accept(kToken);
      if (error) continue;
      ++self.connections_;
      boost::asio::co_spawn(self.context_, Serve(self, std::move(socket)), boost::asio::detached);
    }
  }

  static Work<void> Serve(OriginImposter& self, Socket socket) {
    socket.set_option(boost::asio::ip::tcp::no_delay(true));
    auto at = self.open_.insert(self.open_.end(), &socket);
    std::string buffer;
    bool go_on = true;
    while (go_on) {
      auto [error, n] =
          co_await boost::asio::async_read_until(socket, boost::asio::dynamic_buffer(buffer), "\r\n\r\n", kToken);
      if (error) break;
      ++self.requests_;
      std::string head = buffer.substr(0, n);
      buffer.erase(0, n);
      go_on = co_await Answer(self, socket, head, buffer);
    }
    self.open_.erase(at);
  }

  static uint64_t Number(std::string_view target) {
    std::string_view digits = target.substr(target.rfind('/') + 1);
    uint64_t n = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), n);
    return n;
  }

  static Work<bool> Say(Socket& socket, std::string text) {
    auto [error, n] = co_await boost::asio::async_write(socket, boost::asio::buffer(text), kToken);
    co_return !error;
  }

  static Work<void> Wait(std::chrono::milliseconds d) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, d);
    co_await timer.async_wait(kToken);
  }

  // Until the peer is gone.
  static Work<void> WaitForEnd(Socket& socket) {
    char byte[256];
    for (;;) {
      auto [error, n] = co_await socket.async_read_some(boost::asio::buffer(byte), kToken);
      if (error) co_return;
    }
  }

  // Reads `n` bytes of the request's body into `body`.
  static Work<bool> Take(Socket& socket, std::string& buffer, size_t n, std::string& body) {
    while (buffer.size() < n) {
      char piece[16384];
      auto [error, got] = co_await socket.async_read_some(boost::asio::buffer(piece), kToken);
      if (error) co_return false;
      buffer.append(piece, got);
    }
    body.append(buffer, 0, n);
    buffer.erase(0, n);
    co_return true;
  }

  static Work<bool> Body(Socket& socket, const std::string& head, std::string& buffer, std::string& body) {
    size_t at = head.find("content-length: ");
    if (at != head.npos) {
      size_t n = std::stoul(head.substr(at + 16));
      co_return co_await Take(socket, buffer, n, body);
    }
    if (head.find("transfer-encoding: chunked") == head.npos) co_return true;
    for (;;) {
      std::string line, crlf;
      while (!line.ends_with("\r\n")) {
        bool ok = co_await Take(socket, buffer, 1, line);
        if (!ok) co_return false;
      }
      size_t n = std::stoul(line, nullptr, 16);
      bool ok = co_await Take(socket, buffer, n, body);
      if (!ok) co_return false;
      ok = co_await Take(socket, buffer, 2, crlf);
      if (!ok) co_return false;
      if (n == 0) co_return true;
    }
  }

  static std::string Whole(int status, std::string_view body, std::string_view more = "") {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           std::string(more) + "\r\n" + std::string(body);
  }

  // False ends the connection.
  static Work<bool> Answer(OriginImposter& self, Socket& socket, std::string head, std::string& buffer) {
    size_t from = head.find(' ') + 1;
    std::string target = head.substr(from, head.find(' ', from) - from);
    if (target.starts_with("/drop")) co_return false;
    if (target.starts_with("/stall")) {
      co_await WaitForEnd(socket);
      co_return false;
    }
    std::string body;
    bool complete = co_await Body(socket, head, buffer, body);
    if (!complete) co_return false;
    if (target.starts_with("/echo")) co_return co_await Say(socket, Whole(200, body));
    if (target.starts_with("/bytes/")) co_return co_await Say(socket, Whole(200, std::string(Number(target), 'x')));
    if (target.starts_with("/status/")) co_return co_await Say(socket, Whole(static_cast<int>(Number(target)), ""));
    if (target.starts_with("/close")) {
      co_await Say(socket, Whole(200, "bye", "Connection: close\r\n"));
      co_return false;
    }
    if (target.starts_with("/hangup")) {
      co_await Say(socket, Whole(200, "bye"));
      co_return false;
    }
    if (target.starts_with("/half")) {
      co_await Say(socket, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf!");
      co_await WaitForEnd(socket);
      co_return false;
    }
    if (target.starts_with("/delay/")) {
      co_await Wait(std::chrono::milliseconds(Number(target)));
      co_return co_await Say(socket, Whole(200, "late"));
    }
    if (target.starts_with("/flaky/")) {
      bool fails = self.flaky_++ < Number(target);
      co_return co_await Say(socket, Whole(fails ? 503 : 200, fails ? "busy" : "fine"));
    }
    if (target.starts_with("/chunked/")) {
      std::string text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      for (uint64_t left = Number(target); left > 0;) {
        uint64_t n = std::min<uint64_t>(left, 1000);
        char size[32];
        auto end = std::to_chars(size, size + sizeof(size), n, 16).ptr;
        text.append(size, end).append("\r\n").append(n, 'c').append("\r\n");
        left -= n;
      }
      co_return co_await Say(socket, text + "0\r\n\r\n");
    }
    co_return co_await Say(socket, Whole(200, "ok"));
  }

  boost::asio::io_context context_;
  boost::asio::ip::tcp::acceptor acceptor_;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<int> requests_{0};
  uint64_t flaky_ = 0;
  std::list<Socket*> open_;
  std::thread thread_;
};

}  // namespace fetchd::server
