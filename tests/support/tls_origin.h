// A TLS server on loopback.
#pragma once

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/task.h"
#include "support/certificates.h"

namespace fetchd::server {

// Accepts on a free port of 127.0.0.1, from the loop of the test, and sends back what it gets. The loop must not run
// any more once it is gone.
class TlsOrigin {
 public:
  TlsOrigin(asio::io_context& context, const Certificate& certificate)
      : context_(context),
        ssl_(asio::ssl::context::tls_server),
        acceptor_(context.get_executor(), {asio::ip::address_v4::loopback(), 0}) {
    ssl_.use_certificate_chain(asio::buffer(certificate.pem));
    ssl_.use_private_key(asio::buffer(certificate.key_pem), asio::ssl::context::pem);
    SSL_CTX_set_tlsext_servername_callback(
        ssl_.native_handle(), +[](SSL* ssl, int*, void* self) {
          const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
          static_cast<TlsOrigin*>(self)->server_names_.emplace_back(name != nullptr ? name : "");
          return SSL_TLSEXT_ERR_OK;
        });
    SSL_CTX_set_tlsext_servername_arg(ssl_.native_handle(), this);
    SSL_CTX_set_alpn_select_cb(
        ssl_.native_handle(),
        [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned in_size,
           void* self) {
          static_cast<TlsOrigin*>(self)->alpn_.assign(reinterpret_cast<const char*>(in), in_size);
          *out = in + 1;
          *size = in[0];
          return SSL_TLSEXT_ERR_OK;
        },
        this);
    asio::co_spawn(context_, Accept(), asio::detached);
  }

  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  SSL_CTX* native() { return ssl_.native_handle(); }
  // Ends each connection after its next echo: without close_notify, or with it.
  void CutAfterEcho() { cut_ = true; }
  void CloseAfterEcho() { close_ = true; }
  // Accepts connections, but says nothing.
  void StaySilent() { silent_ = true; }
  // Closes each connection as soon as it is there.
  void HangUp() { hang_up_ = true; }

  int handshakes() const { return handshakes_; }
  // Connections whose close_notify came.
  int closed_in_order() const { return closed_in_order_; }
  // The SNI of each handshake; "" if it had none.
  const std::vector<std::string>& server_names() const { return server_names_; }
  // ALPN protocols of the last handshake, as on the wire.
  const std::string& alpn() const { return alpn_; }

 private:
  using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
  using Stream = asio::ssl::stream<TcpSocket>;
  // Asio's own coroutines will do here.
  using Work = asio::awaitable<void, Executor>;
  static constexpr auto kToken = asio::as_tuple(asio::use_awaitable_t<Executor>{});

  Work Accept() {
    for (;;) {
      auto [ec, socket] = co_await acceptor_.async_accept(kToken);
      if (ec) co_return;
      asio::co_spawn(context_, Serve(std::make_unique<Stream>(std::move(socket), ssl_)), asio::detached);
    }
  }

  Work Serve(std::unique_ptr<Stream> stream) {
    if (hang_up_) co_return;
    if (silent_) {
      // Until the client gives up.
      co_await stream->next_layer().async_wait(TcpSocket::wait_error, kToken);
      co_return;
    }
    auto [ec] = co_await stream->async_handshake(asio::ssl::stream_base::server, kToken);
    if (ec) co_return;
    ++handshakes_;
    std::array<char, 16384> buffer;
    for (;;) {
      auto [read_error, n] = co_await stream->async_read_some(asio::buffer(buffer), kToken);
      if (read_error == asio::error::eof) ++closed_in_order_;
      if (read_error) co_return;
      auto [write_error, written] = co_await asio::async_write(*stream, asio::buffer(buffer.data(), n), kToken);
      if (write_error || cut_) co_return;
      if (close_) {
        co_await stream->async_shutdown(kToken);
        co_return;
      }
    }
  }

  asio::io_context& context_;
  asio::ssl::context ssl_;
  asio::basic_socket_acceptor<asio::ip::tcp, Executor> acceptor_;
  std::vector<std::string> server_names_;
  std::string alpn_;
  bool cut_ = false, close_ = false, silent_ = false, hang_up_ = false;
  int handshakes_ = 0, closed_in_order_ = 0;
};

}  // namespace fetchd::server
