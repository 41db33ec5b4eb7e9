#include "net/socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace fetchd::server {

std::unique_ptr<Socket> Socket::Watch(Reactor& reactor, int fd, error_code& error) {
  std::unique_ptr<Socket> socket(new Socket(reactor, fd));
  error = reactor.Add(*socket);
  socket->watched_ = !error;
  return error ? nullptr : std::move(socket);
}

Socket::~Socket() { Close(); }

bool Socket::LooksReadable() {
  char byte;
  const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  state(Direction::kRead).ready = n >= 0 || errno != EAGAIN;
  return state(Direction::kRead).ready;
}

void Socket::OnReady(uint32_t events) {
  constexpr uint32_t kBroken = EPOLLHUP | EPOLLERR;
  State& read = state(Direction::kRead);
  State& write = state(Direction::kWrite);
  ended_ = ended_ || (events & (EPOLLRDHUP | kBroken)) != 0;
  std::coroutine_handle<> reader, writer;
  if ((events & (EPOLLIN | EPOLLRDHUP | kBroken)) != 0) {
    read.ready = true;
    reader = std::exchange(read.waiter, nullptr);
  }
  if ((events & (EPOLLOUT | kBroken)) != 0) {
    write.ready = true;
    writer = std::exchange(write.waiter, nullptr);
  }
  // The socket is not destroyed before both have gone on.
  if (reader) Resume(reader);
  if (writer) Resume(writer);
}

void Socket::Wake(Direction d) {
  const std::coroutine_handle<> waiter = std::exchange(state(d).waiter, nullptr);
  if (waiter) asio::post(reactor_.executor(), [waiter] { Resume(waiter); });
}

void Socket::Close() {
  if (!is_open()) return;
  if (watched_) reactor_.Remove(*this);
  // The last reference to the socket: closing takes it out of the epoll set.
  ::close(std::exchange(fd_, -1));
  Wake(Direction::kRead);
  Wake(Direction::kWrite);
}

}  // namespace fetchd::server
