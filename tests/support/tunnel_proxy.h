// A proxy that says what a test tells it to.
#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/task.h"

namespace fetchd::server {

// Accepts on a free port of 127.0.0.1, from the loop of the test. Of each connection it reads a piece and answers, as
// often as it has answers, and then passes bytes on, both ways, between it and a port of 127.0.0.1. The loop must not
// run any more once it is gone.
class TunnelProxy {
 public:
  explicit TunnelProxy(asio::io_context& context)
      : context_(context), acceptor_(context.get_executor(), {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(context_, Accept(), asio::detached);
  }

  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  // What it answers on the next connection that has no answers yet; those after the last have the same.
  void Answer(std::vector<std::string> answers) { answers_.push_back(std::move(answers)); }
  // Where tunnels end; 0: bytes are swallowed.
  void LeadTo(uint16_t port) { lead_to_ = port; }

  // What came before each answer, over all connections.
  const std::vector<std::string>& asked() const { return asked_; }
  size_t connections() const { return connections_; }

 private:
  using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
  using Work = asio::awaitable<void, Executor>;
  static constexpr auto kToken = asio::as_tuple(asio::use_awaitable_t<Executor>{});

  Work Accept() {
    for (;;) {
      auto [ec, socket] = co_await acceptor_.async_accept(kToken);
      if (ec) co_return;
      std::vector<std::string> answers;
      if (!answers_.empty()) answers = answers_[std::min(connections_, answers_.size() - 1)];
      ++connections_;
      asio::co_spawn(context_, Serve(std::make_shared<TcpSocket>(std::move(socket)), std::move(answers)),
                     asio::detached);
    }
  }

  Work Serve(std::shared_ptr<TcpSocket> client, std::vector<std::string> answers) {
    std::array<char, 4096> buffer;
    for (const std::string& answer : answers) {
      auto [ec, n] = co_await client->async_read_some(asio::buffer(buffer), kToken);
      if (ec) co_return;
      asked_.emplace_back(buffer.data(), n);
      co_await asio::async_write(*client, asio::buffer(answer), kToken);
    }
    auto origin = std::make_shared<TcpSocket>(context_.get_executor());
    if (lead_to_ != 0) {
      auto [ec] = co_await origin->async_connect({asio::ip::address_v4::loopback(), lead_to_}, kToken);
      if (ec) co_return;
      asio::co_spawn(context_, Pass(origin, client), asio::detached);
    }
    co_await Pass(client, origin);
  }

  Work Pass(std::shared_ptr<TcpSocket> from, std::shared_ptr<TcpSocket> to) {
    std::array<char, 4096> buffer;
    for (;;) {
      auto [ec, n] = co_await from->async_read_some(asio::buffer(buffer), kToken);
      if (!ec && !to->is_open()) continue;
      if (ec) break;
      auto [write_error, written] = co_await asio::async_write(*to, asio::buffer(buffer.data(), n), kToken);
      if (write_error) break;
    }
    error_code ignored;
    if (to->is_open()) to->shutdown(TcpSocket::shutdown_send, ignored);
  }

  asio::io_context& context_;
  asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor_;
  std::vector<std::vector<std::string>> answers_;
  std::vector<std::string> asked_;
  size_t connections_ = 0;
  uint16_t lead_to_ = 0;
};

}  // namespace fetchd::server
