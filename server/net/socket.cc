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
  State& read = state(Direction::kRead);
  if (!read.ready && reactor_.is_fresh()) return false;
  char byte;
  const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  read.ready = n >= 0 || errno != EAGAIN;
  return read.ready;
}

void Socket::Hear(uint32_t events) {
  constexpr uint32_t kBroken = EPOLLHUP | EPOLLERR;
  ended_ = ended_ || (events & (EPOLLRDHUP | kBroken)) != 0;
  if ((events & (EPOLLIN | EPOLLRDHUP | kBroken)) != 0) state(Direction::kRead).ready = true;
  if ((events & (EPOLLOUT | kBroken)) != 0) state(Direction::kWrite).ready = true;
}

void Socket::ResumeReady() {
  const auto take = [this](Direction d) {
    return state(d).ready ? std::exchange(state(d).waiter, nullptr) : std::coroutine_handle<>();
  };
  const std::coroutine_handle<> reader = take(Direction::kRead);
  const std::coroutine_handle<> writer = take(Direction::kWrite);
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
