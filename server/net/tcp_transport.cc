#include "net/tcp_transport.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>

namespace fetchd::server {
namespace {

using Direction = Socket::Direction;

constexpr IoResult kStopped{IoResult::Kind::kStopped, 0, {}};

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

IoResult Failed(int error) {
  const error_code ec(error, boost::system::system_category());
  return {error == ECONNRESET || error == EPIPE ? IoResult::Kind::kReset : IoResult::Kind::kError, 0, ec};
}

IoResult Closed() { return {IoResult::Kind::kError, 0, asio::error::operation_aborted}; }

}  // namespace

std::optional<IoResult> TcpTransport::TryRead(std::span<char> buffer) {
  if (!socket_->is_open()) return Closed();
  while (socket_->ready(Direction::kRead)) {
    const ssize_t n = ::recv(socket_->fd(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      socket_->HasRead(static_cast<size_t>(n));
      // A short read took all there was (epoll(7)): the next one can wait for news without trying first.
      if (static_cast<size_t>(n) < buffer.size()) socket_->Exhausted(Direction::kRead);
      return IoResult{IoResult::Kind::kOk, static_cast<size_t>(n), {}};
    }
    if (n == 0) return IoResult{IoResult::Kind::kEof, 0, {}};
    if (errno == EINTR) continue;
    if (!WouldBlock(errno)) return Failed(errno);
    socket_->Exhausted(Direction::kRead);
    break;
  }
  return std::nullopt;
}

Task<IoResult> TcpTransport::ReadSome(std::span<char> buffer, CancelScope& scope) {
  if (const auto result = TryRead(buffer)) return *result;
  return ReadLater(buffer, scope);
}

Task<IoResult> TcpTransport::ReadLater(std::span<char> buffer, CancelScope& scope) {
  for (;;) {
    co_await socket_->Wait(Direction::kRead, scope);
    if (const auto result = TryRead(buffer)) co_return *result;
    if (scope.stopped()) co_return kStopped;
  }
}

std::optional<IoResult> TcpTransport::TryWrite(std::span<const asio::const_buffer> buffers) {
  constexpr size_t kMaxPieces = 16;
  std::array<iovec, kMaxPieces> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = std::min(buffers.size(), kMaxPieces);
  for (size_t i = 0; i < message.msg_iovlen; ++i) pieces[i] = {const_cast<void*>(buffers[i].data()), buffers[i].size()};
  for (;;) {
    if (!socket_->is_open()) return Closed();
    const ssize_t n = ::sendmsg(socket_->fd(), &message, MSG_NOSIGNAL);
    if (n >= 0) return IoResult{IoResult::Kind::kOk, static_cast<size_t>(n), {}};
    if (errno == EINTR) continue;
    if (!WouldBlock(errno)) return Failed(errno);
    socket_->Exhausted(Direction::kWrite);
    return std::nullopt;
  }
}

Task<IoResult> TcpTransport::WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) {
  // The socket's buffer nearly always has room, so the first try does not look whether it is known to.
  if (const auto result = TryWrite(buffers)) return *result;
  return WriteLater(buffers, scope);
}

Task<IoResult> TcpTransport::WriteLater(std::span<const asio::const_buffer> buffers, CancelScope& scope) {
  for (;;) {
    co_await socket_->Wait(Direction::kWrite, scope);
    if (scope.stopped()) co_return kStopped;
    if (const auto result = TryWrite(buffers)) co_return *result;
  }
}

bool TcpTransport::LooksAlive() { return socket_->is_open() && !socket_->LooksReadable(); }

}  // namespace fetchd::server
