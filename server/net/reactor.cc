#include "net/reactor.h"

#include <cerrno>
#include <system_error>

#include "net/socket.h"

namespace fetchd::server {
namespace {

int NewEpollSet() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::system_category(), "epoll_create1");
  return fd;
}

}  // namespace

Reactor::Reactor(asio::execution_context& context)
    : service(context),
      executor_(static_cast<asio::io_context&>(context).get_executor()),
      set_(executor_, NewEpollSet()) {}

Reactor::~Reactor() = default;

void Reactor::shutdown() {
  error_code ignored;
  set_.close(ignored);
}

size_t Reactor::Poll() {
  const int ready = ::epoll_wait(set_.native_handle(), events_.data(), kAtOnce, 0);
  event_count_ = ready > 0 ? static_cast<size_t>(ready) : 0;
  const size_t count = event_count_;
  fresh_ = driven_ && count < kAtOnce;
  // All hear before anybody goes on: who takes a connection into use must see that its peer has just closed it.
  for (size_t i = 0; i < event_count_; ++i) static_cast<Socket*>(events_[i].data.ptr)->Hear(events_[i].events);
  for (size_t i = 0; i < event_count_; ++i)
    if (auto* socket = static_cast<Socket*>(events_[i].data.ptr)) socket->ResumeReady();
  event_count_ = 0;
  return count;
}

void Reactor::WakeContext() {
  fresh_ = false;
  if (waking_ || sockets_ == 0) return;
  waking_ = true;
  set_.async_wait(asio::posix::descriptor_base::wait_read, [this](const error_code& error) {
    waking_ = false;
    if (!error) Poll();
    if (!driven_) WakeContext();
  });
}

error_code Reactor::Add(Socket& socket) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &socket;
  if (::epoll_ctl(set_.native_handle(), EPOLL_CTL_ADD, socket.fd(), &event) != 0)
    return {errno, boost::system::system_category()};
  ++sockets_;
  if (!driven_) WakeContext();
  return {};
}

void Reactor::Remove(const Socket& socket) {
  --sockets_;
  if (sockets_ == 0 && waking_) {
    error_code ignored;
    set_.cancel(ignored);
  }
  for (size_t i = 0; i < event_count_; ++i)
    if (events_[i].data.ptr == &socket) events_[i].data.ptr = nullptr;
}

}  // namespace fetchd::server
