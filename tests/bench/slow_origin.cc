// An origin that takes its time: GET /N is answered with 1 KiB after N milliseconds, on a connection that stays open.
// One thread on epoll; prints "port=N" when it listens. Trusts its caller, the benchmark: a request has no body and
// comes alone on its connection.
//   bench_slow_origin [PORT]      on 127.0.0.1; port 0 (default) takes a free one
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <unordered_map>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
  std::string request;
  unsigned long generation = 0;  // Tells a reply that is due from one meant for an earlier connection on the same fd.
};

class SlowOrigin {
 public:
  explicit SlowOrigin(int listener) : listener_(listener), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    Watch(listener_);
    const std::string body(1024, 'x');
    reply_ = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: " + std::to_string(body.size()) +
             "\r\n\r\n" + body;
  }

  [[noreturn]] void Run() {
    epoll_event events[512];
    for (;;) {
      int wait_ms = -1;
      if (!due_.empty()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(due_.begin()->first - Clock::now()).count();
        wait_ms = left > 0 ? static_cast<int>(left) : 0;
      }
      const int count = epoll_wait(epoll_, events, 512, wait_ms);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == listener_) {
          Accept();
        } else {
          Read(events[i].data.fd);
        }
      }
      SendDue();
    }
  }

 private:
  struct Reply {
    int fd;
    unsigned long generation;
  };

  void Watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
  void Accept() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_[fd] = {{}, ++generation_};
      Watch(fd);
    }
  }
  void Read(int fd) {
    char buffer[8192];
    const ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) {
      connections_.erase(fd);
      close(fd);
      return;
    }
    Connection& connection = connections_[fd];
    connection.request.append(buffer, static_cast<size_t>(size));
    if (connection.request.find("\r\n\r\n") == std::string::npos) return;
    const auto slash = connection.request.find('/');
    const int delay_ms = std::atoi(connection.request.c_str() + slash + 1);
    connection.request.clear();
    due_.emplace(Clock::now() + std::chrono::milliseconds(delay_ms), Reply{fd, connection.generation});
  }
  void SendDue() {
    const auto now = Clock::now();
    while (!due_.empty() && due_.begin()->first <= now) {
      const Reply reply = due_.begin()->second;
      due_.erase(due_.begin());
      const auto found = connections_.find(reply.fd);
      if (found == connections_.end() || found->second.generation != reply.generation) continue;
      // 1 KiB always fits into the buffer of a socket whose last reply was read.
      static_cast<void>(!send(reply.fd, reply_.data(), reply_.size(), MSG_NOSIGNAL));
    }
  }

  const int listener_;
  const int epoll_;
  std::string reply_;
  unsigned long generation_ = 0;
  std::unordered_map<int, Connection> connections_;
  std::multimap<Clock::time_point, Reply> due_;
};

}  // namespace

int main(int argc, char** argv) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 4096) != 0) {
    std::perror("bench_slow_origin");
    return 1;
  }
  socklen_t size = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("port=%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  SlowOrigin(listener).Run();
}
