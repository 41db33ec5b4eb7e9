// TCP connect, one address at a time.
#pragma once

#include <memory>

#include "model/ip_address.h"
#include "net/cancel_scope.h"
#include "net/socket.h"
#include "net/task.h"

namespace fetchd::server {

// Connects a TCP socket to one endpoint, on one engine thread.
class Dialler {
 public:
  struct Result {
    // Connected, with TCP_NODELAY; null if `ec` is set.
    std::unique_ptr<Socket> socket;
    // operation_aborted if the scope stopped.
    error_code ec;
  };
  virtual ~Dialler() = default;
  virtual Task<Result> Dial(Endpoint endpoint, CancelScope& scope) = 0;
};

// The real one.
class TcpDialler final : public Dialler {
 public:
  explicit TcpDialler(Executor executor) : reactor_(Reactor::Of(executor.context())) {}
  Task<Result> Dial(Endpoint endpoint, CancelScope& scope) override;

 private:
  Reactor& reactor_;
};

}  // namespace fetchd::server
