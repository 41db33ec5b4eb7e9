// TCP connect, one address at a time.
#pragma once

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "model/ip_address.h"
#include "net/cancel_scope.h"
#include "net/task.h"
#include "net/transport.h"

namespace fetchd::server {

// No type-erased executor on the hot path.
using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;

// Connects a TCP socket to one endpoint, on one engine thread.
class Dialler {
 public:
  struct Result {
    // Open and connected unless `ec` is set; TCP_NODELAY and non-blocking.
    TcpSocket socket;
    // operation_aborted if the scope stopped.
    error_code ec;
  };
  virtual ~Dialler() = default;
  virtual Task<Result> Dial(Endpoint endpoint, CancelScope& scope) = 0;
};

// The real one.
class TcpDialler final : public Dialler {
 public:
  explicit TcpDialler(Executor executor) : executor_(std::move(executor)) {}
  Task<Result> Dial(Endpoint endpoint, CancelScope& scope) override;

 private:
  Executor executor_;
};

}  // namespace fetchd::server
