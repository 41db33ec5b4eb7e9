#include "net/tcp_transport.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>

namespace fetchd::server {
namespace {

IoResult Failed(const error_code& ec) {
  if (ec == asio::error::eof) return {IoResult::Kind::kEof, 0, {}};
  if (ec == asio::error::connection_reset || ec == asio::error::broken_pipe) return {IoResult::Kind::kReset, 0, ec};
  return {IoResult::Kind::kError, 0, ec};
}

error_code LastError() { return {errno, boost::system::system_category()}; }

}  // namespace

Task<IoResult> TcpTransport::ReadSome(std::span<char> buffer, CancelScope& scope) {
  if (more_likely_ && socket_.is_open()) {
    more_likely_ = false;
    ssize_t n = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      more_likely_ = static_cast<size_t>(n) == buffer.size();
      co_return IoResult{IoResult::Kind::kOk, static_cast<size_t>(n), {}};
    }
    if (n == 0) co_return IoResult{IoResult::Kind::kEof, 0, {}};
    // Errors are met again below.
  }
  for (;;) {
    if (!socket_.is_open()) co_return Failed(asio::error::operation_aborted);
    if (scope.stopped()) co_return IoResult{IoResult::Kind::kStopped, 0, {}};
    CancelScope::StopHook hook(scope, [this] {
      error_code ignored;
      socket_.cancel(ignored);
    });
    auto [ec, n] = co_await socket_.async_read_some(asio::buffer(buffer.data(), buffer.size()), kAsTask);
    if (!ec) {
      more_likely_ = n == buffer.size();
      co_return IoResult{IoResult::Kind::kOk, n, {}};
    }
    // A cancel by the hook of the write that waits at the same time hits the read too, which then goes on.
    if (ec != asio::error::operation_aborted) co_return Failed(ec);
  }
}

Task<IoResult> TcpTransport::WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) {
  constexpr size_t kMaxPieces = 16;
  std::array<iovec, kMaxPieces> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = std::min(buffers.size(), kMaxPieces);
  for (size_t i = 0; i < message.msg_iovlen; ++i) pieces[i] = {const_cast<void*>(buffers[i].data()), buffers[i].size()};
  for (;;) {
    if (!socket_.is_open()) co_return Failed(asio::error::operation_aborted);
    // The socket's buffer nearly always has room, so the first try does not wait for the event loop.
    ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
    if (n >= 0) co_return IoResult{IoResult::Kind::kOk, static_cast<size_t>(n), {}};
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) co_return Failed(LastError());
    if (scope.stopped()) co_return IoResult{IoResult::Kind::kStopped, 0, {}};
    CancelScope::StopHook hook(scope, [this] {
      error_code ignored;
      socket_.cancel(ignored);
    });
    auto [ec] = co_await socket_.async_wait(TcpSocket::wait_write, kAsTask);
    if (ec && ec != asio::error::operation_aborted) co_return Failed(ec);
    if (scope.stopped()) co_return IoResult{IoResult::Kind::kStopped, 0, {}};
  }
}

bool TcpTransport::LooksAlive() {
  if (!socket_.is_open()) return false;
  char byte;
  ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void TcpTransport::Close() {
  error_code ignored;
  socket_.close(ignored);
}

}  // namespace fetchd::server
