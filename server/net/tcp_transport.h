// Plain TCP.
#pragma once

#include <memory>
#include <optional>

#include "net/socket.h"
#include "net/transport.h"

namespace fetchd::server {

// A Transport over a connected socket.
class TcpTransport final : public Transport {
 public:
  TcpTransport(std::unique_ptr<Socket> socket, Endpoint peer) : socket_(std::move(socket)), peer_(peer) {}

  Task<IoResult> ReadSome(std::span<char> buffer, CancelScope& scope) override;
  Task<IoResult> WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) override;
  bool LooksAlive() override;
  void Close() override { socket_->Close(); }
  const Endpoint& peer() const override { return peer_; }
  // The socket, for another transport. Requires that nobody waits; this must not be used afterwards.
  std::unique_ptr<Socket> Release() { return std::move(socket_); }

 private:
  // One try each; nullopt if it has to wait.
  std::optional<IoResult> TryRead(std::span<char> buffer);
  std::optional<IoResult> TryWrite(std::span<const asio::const_buffer> buffers);
  Task<IoResult> ReadLater(std::span<char> buffer, CancelScope& scope);
  Task<IoResult> WriteLater(std::span<const asio::const_buffer> buffers, CancelScope& scope);

  std::unique_ptr<Socket> socket_;
  Endpoint peer_;
};

}  // namespace fetchd::server
