// Plain TCP.
#pragma once

#include "net/dialler.h"
#include "net/transport.h"

namespace fetchd::server {

// A Transport over a connected, non-blocking socket.
class TcpTransport final : public Transport {
 public:
  TcpTransport(TcpSocket socket, Endpoint peer) : socket_(std::move(socket)), peer_(peer) {}

  Task<IoResult> ReadSome(std::span<char> buffer, CancelScope& scope) override;
  Task<IoResult> WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) override;
  bool LooksAlive() override;
  void Close() override;
  const Endpoint& peer() const override { return peer_; }

 private:
  TcpSocket socket_;
  Endpoint peer_;
  // The last read filled its buffer, so the next one likely finds bytes without waiting.
  bool more_likely_ = false;
};

}  // namespace fetchd::server
