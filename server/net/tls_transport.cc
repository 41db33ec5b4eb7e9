#include "net/tls_transport.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"

namespace fetchd::server {
namespace {

constexpr size_t kMaxRecord = 16 * 1024;

Socket& SocketOf(BIO* bio) { return *static_cast<Socket*>(BIO_get_data(bio)); }

// OpenSSL's own socket BIO would raise SIGPIPE.
int Write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  Socket& socket = SocketOf(bio);
  const ssize_t n = ::send(socket.fd(), data, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (n < 0 && errno == EAGAIN) socket.Exhausted(Socket::Direction::kWrite);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int Read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  Socket& socket = SocketOf(bio);
  if (!socket.ready(Socket::Direction::kRead)) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const ssize_t n = ::recv(socket.fd(), data, static_cast<size_t>(size), 0);
  if (n > 0) socket.HasRead(static_cast<size_t>(n));
  // Nothing, or all there was (epoll(7)).
  if (n < size && (n > 0 || (n < 0 && errno == EAGAIN))) socket.Exhausted(Socket::Direction::kRead);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(n);
}

long Control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// A BIO over a socket that somebody else owns.
BIO* NewSocketBio(Socket& socket) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fetchd socket");
    BIO_meth_set_write(m, Write);
    BIO_meth_set_read(m, Read);
    BIO_meth_set_ctrl(m, Control);
    return m;
  }();
  BIO* bio = BIO_new(method);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  return bio;
}

std::string ReasonText(unsigned long error) {
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? Concat("error ", error) : std::string(reason);
}

}  // namespace

TlsTransport::TlsTransport(std::unique_ptr<Socket> socket, Endpoint peer, const TlsContext& context,
                           TlsSessionCache& sessions, std::string host, std::string session_key, HttpVersion version)
    : socket_(std::move(socket)),
      peer_(peer),
      host_(std::move(host)),
      sessions_(sessions),
      sink_{&sessions, std::move(session_key)},
      ssl_(context.NewConnection(host_, version)) {
  BIO* bio = ssl_ == nullptr ? nullptr : NewSocketBio(*socket_);
  if (bio == nullptr) {
    ssl_ = nullptr;
    return;
  }
  SSL_set_bio(ssl_.get(), bio, bio);
  TlsContext::SetSessionSink(ssl_.get(), &sink_);
  if (SslSessionPtr session = sessions_.Take(sink_.key)) SSL_set_session(ssl_.get(), session.get());
}

TlsTransport::~TlsTransport() { Close(); }

bool TlsTransport::chose_http2() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return size == 2 && name[0] == 'h' && name[1] == '2';
}

TlsTransport::Next TlsTransport::Judge(int rc, IoResult& result) {
  int saved_errno = errno;
  switch (SSL_get_error(ssl_.get(), rc)) {
    case SSL_ERROR_NONE:
      return Next::kDone;
    case SSL_ERROR_WANT_READ:
      return Next::kWaitRead;
    case SSL_ERROR_WANT_WRITE:
      return Next::kWaitWrite;
    case SSL_ERROR_ZERO_RETURN:
      result = {IoResult::Kind::kEof, 0, {}};
      break;
    case SSL_ERROR_SYSCALL:
      result.ec = {saved_errno, boost::system::system_category()};
      result.kind = saved_errno == 0                                    ? IoResult::Kind::kTruncatedTls
                    : saved_errno == ECONNRESET || saved_errno == EPIPE ? IoResult::Kind::kReset
                                                                        : IoResult::Kind::kError;
      break;
    default:
      if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        result = {IoResult::Kind::kTruncatedTls, 0, {}};
      } else {
        result = {IoResult::Kind::kError, 0, asio::error::connection_aborted};
      }
      break;
  }
  // After a fatal error OpenSSL forbids further calls on the connection, SSL_shutdown among them.
  if (result.kind != IoResult::Kind::kEof) established_ = false;
  return Next::kFailed;
}

Socket::Waiting TlsTransport::WaitFor(Next next, CancelScope& scope) {
  return socket_->Wait(next == Next::kWaitRead ? Socket::Direction::kRead : Socket::Direction::kWrite, scope);
}

Failure TlsTransport::HandshakeFailure(const IoResult& result) {
  Failure failure{FailureCode::kTlsProtocolError, Phase::kTls, Processed::kNo, "", false};
  std::string where = Concat("TLS handshake with ", host_, " at ", peer_.ToString(), ": ");
  unsigned long error = ERR_peek_error();
  if (result.kind == IoResult::Kind::kTruncatedTls || result.kind == IoResult::Kind::kEof) {
    failure.code = FailureCode::kConnectionTerminated;
    failure.detail = where + "the peer closed the connection";
  } else if (error == 0) {
    failure.code = FailureCode::kConnectionTerminated;
    failure.detail = where + result.ec.message();
  } else if (long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
    failure.code = FailureCode::kTlsCertificateError;
    failure.detail = where + X509_verify_cert_error_string(verdict);
  } else if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL) {
    failure.code = FailureCode::kHttpVersionNotAvailable;
    failure.detail = where + ReasonText(error);
  } else if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET) {
    failure.code = FailureCode::kTlsAlertReceived;
    failure.detail = where + ReasonText(error);
  } else {
    failure.detail = where + ReasonText(error);
  }
  ERR_clear_error();
  return failure;
}

Task<std::optional<Failure>> TlsTransport::Handshake(CancelScope& scope, ThreadMetrics& metrics) {
  if (ssl_ == nullptr) {
    ERR_clear_error();
    co_return Failure{FailureCode::kInternal, Phase::kTls, Processed::kNo, "OpenSSL made no connection", false};
  }
  for (;;) {
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(ssl_.get());
    IoResult result;
    Next next = Judge(rc, result);
    if (next == Next::kDone) break;
    if (next == Next::kFailed) {
      sessions_.Forget(sink_.key);
      co_return HandshakeFailure(result);
    }
    co_await WaitFor(next, scope);
    if (scope.stopped()) {
      co_return Failure{scope.reason(), Phase::kTls, Processed::kNo,
                        Concat("TLS handshake with ", host_, " at ", peer_.ToString(), " did not end in time"), false};
    }
  }
  established_ = true;
  metrics.tls_handshakes.Add(1);
  if (SSL_session_reused(ssl_.get()) != 0) metrics.tls_resumed.Add(1);
  co_return std::nullopt;
}

Task<IoResult> TlsTransport::ReadSome(std::span<char> buffer, CancelScope& scope) {
  size_t filled = 0;
  for (;;) {
    if (!socket_->is_open()) co_return IoResult{IoResult::Kind::kError, 0, asio::error::operation_aborted};
    if (end_.has_value()) co_return *end_;
    ERR_clear_error();
    errno = 0;
    size_t n = 0;
    int rc = SSL_read_ex(ssl_.get(), buffer.data() + filled, buffer.size() - filled, &n);
    filled += n;
    // Records of at most 16 KiB come out one at a time; a large buffer takes all that are there.
    if (rc == 1 && filled < buffer.size()) continue;
    IoResult failure;
    Next next = rc == 1 ? Next::kDone : Judge(rc, failure);
    ERR_clear_error();
    if (next == Next::kFailed) end_ = failure;
    if (filled > 0) co_return IoResult{IoResult::Kind::kOk, filled, {}};
    if (next == Next::kFailed) continue;
    if (!scope.stopped()) co_await WaitFor(next, scope);
    if (scope.stopped()) co_return IoResult{IoResult::Kind::kStopped, 0, {}};
  }
}

std::span<const char> TlsTransport::Gather(std::span<const asio::const_buffer> buffers) {
  auto first = std::find_if(buffers.begin(), buffers.end(), [](const auto& buffer) { return buffer.size() > 0; });
  if (first->size() >= kMaxRecord || first + 1 == buffers.end()) {
    return {static_cast<const char*>(first->data()), first->size()};
  }
  staging_.clear();
  for (auto it = first; it != buffers.end() && staging_.size() < kMaxRecord; ++it) {
    auto* data = static_cast<const char*>(it->data());
    staging_.insert(staging_.end(), data, data + std::min(it->size(), kMaxRecord - staging_.size()));
  }
  return staging_;
}

Task<IoResult> TlsTransport::WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) {
  std::span<const char> data = Gather(buffers);
  for (;;) {
    if (!socket_->is_open()) co_return IoResult{IoResult::Kind::kError, 0, asio::error::operation_aborted};
    ERR_clear_error();
    errno = 0;
    size_t n = 0;
    int rc = SSL_write_ex(ssl_.get(), data.data(), data.size(), &n);
    if (rc == 1) co_return IoResult{IoResult::Kind::kOk, n, {}};
    IoResult result;
    Next next = Judge(rc, result);
    ERR_clear_error();
    if (next == Next::kFailed) co_return result;
    if (!scope.stopped()) co_await WaitFor(next, scope);
    if (scope.stopped()) co_return IoResult{IoResult::Kind::kStopped, 0, {}};
  }
}

bool TlsTransport::LooksAlive() {
  if (!socket_->is_open() || !established_) return false;
  if (SSL_has_pending(ssl_.get()) == 0 && !socket_->LooksReadable()) return true;
  ERR_clear_error();
  char byte;
  size_t n = 0;
  int rc = SSL_peek_ex(ssl_.get(), &byte, 1, &n);
  IoResult result;
  return rc != 1 && Judge(rc, result) == Next::kWaitRead;
}

void TlsTransport::Close() {
  if (!socket_->is_open()) return;
  if (established_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());  // one send at most; the peer's answer is not waited for
    ERR_clear_error();
    established_ = false;
  }
  socket_->Close();
}

}  // namespace fetchd::server
