// TLS over TCP.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/failure.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/transport.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// A Transport that speaks TLS as a client over a connected socket. Handshake() comes first.
class TlsTransport final : public Transport {
 public:
  // `host` is what the certificate must be for, `session_key` the origin whose sessions in `sessions` may be resumed
  // and to which new ones are added. `context` and `sessions` outlive this.
  TlsTransport(std::unique_ptr<Socket> socket, Endpoint peer, const TlsContext& context, TlsSessionCache& sessions,
               std::string host, std::string session_key, HttpVersion version);
  ~TlsTransport() override;

  // Nullopt once the peer is proved to be `host`. Failures have phase kTls: kTlsCertificateError, kTlsAlertReceived,
  // kHttpVersionNotAvailable, kTlsProtocolError, kConnectionTerminated, or the scope's reason.
  Task<std::optional<Failure>> Handshake(CancelScope& scope, ThreadMetrics& metrics);

  Task<IoResult> ReadSome(std::span<char> buffer, CancelScope& scope) override;
  Task<IoResult> WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) override;
  bool LooksAlive() override;
  void Close() override;
  const Endpoint& peer() const override { return peer_; }
  // After the handshake: the origin chose HTTP/2 (RFC 9113 section 3.2).
  bool chose_http2() const;

 private:
  // What OpenSSL said to an operation that returned `rc`.
  enum class Next { kDone, kWaitRead, kWaitWrite, kFailed };
  Next Judge(int rc, IoResult& result);
  Socket::Waiting WaitFor(Next next, CancelScope& scope);
  Failure HandshakeFailure(const IoResult& result);
  std::span<const char> Gather(std::span<const asio::const_buffer> buffers);

  std::unique_ptr<Socket> socket_;
  Endpoint peer_;
  std::string host_;
  TlsSessionCache& sessions_;
  TlsContext::SessionSink sink_;
  SslPtr ssl_;
  // The handshake is done and nothing fatal has happened since.
  bool established_ = false;
  // How the stream ended, met while there still were bytes to hand on.
  std::optional<IoResult> end_;
  // Small buffers are put together here, so that head and body share a TLS record.
  std::vector<char> staging_;
};

}  // namespace fetchd::server
