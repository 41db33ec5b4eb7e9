#include "net/dialler.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/error.hpp>
#include <cerrno>
#include <cstring>

namespace fetchd::server {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  explicit SocketAddress(const Endpoint& endpoint) {
    const auto& bytes = endpoint.address.bytes();
    if (endpoint.address.is_v4()) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(endpoint.port);
      std::memcpy(&v4->sin_addr, bytes.data(), sizeof v4->sin_addr);
      size = sizeof *v4;
    } else {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(endpoint.port);
      std::memcpy(&v6->sin6_addr, bytes.data(), sizeof v6->sin6_addr);
      size = sizeof *v6;
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

error_code LastError() { return {errno, boost::system::system_category()}; }

// A socket on its way to `to`, or -1.
int BeginConnect(const SocketAddress& to, error_code& error) {
  const int fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) {
    error = LastError();
    return -1;
  }
  // Requests are written whole, so Nagle's algorithm could only hold back their ends.
  const int on = 1;
  if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
      (::connect(fd, to.get(), to.size) == 0 || errno == EINPROGRESS)) {
    return fd;
  }
  error = LastError();
  ::close(fd);
  return -1;
}

}  // namespace

Task<Dialler::Result> TcpDialler::Dial(Endpoint endpoint, CancelScope& scope) {
  Result result;
  if (scope.stopped()) {
    result.ec = asio::error::operation_aborted;
    co_return result;
  }
  const int fd = BeginConnect(SocketAddress(endpoint), result.ec);
  if (fd < 0) co_return result;
  // From here on it is watched: a socket that is not even connecting would count as ready.
  result.socket = Socket::Watch(reactor_, fd, result.ec);
  if (result.socket == nullptr) co_return result;
  co_await result.socket->Wait(Socket::Direction::kWrite, scope);
  int error = 0;
  socklen_t size = sizeof error;
  if (scope.stopped()) {
    result.ec = asio::error::operation_aborted;
  } else if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
    result.ec = LastError();
  } else if (error != 0) {
    result.ec = {error, boost::system::system_category()};
  }
  if (result.ec) result.socket.reset();
  co_return result;
}

}  // namespace fetchd::server
