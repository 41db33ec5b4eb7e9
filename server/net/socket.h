// A TCP socket that its thread's reactor watches.
#pragma once

#include <array>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>

#include "net/cancel_scope.h"
#include "net/reactor.h"

namespace fetchd::server {

// Owns a non-blocking stream socket, and knows in which directions it is worth trying. Operations are system calls on
// fd(), made by the owner, who says what they came to (Exhausted). Belongs to the reactor's thread. Must not be
// destroyed while somebody waits.
class Socket {
 public:
  enum class Direction : uint8_t { kRead, kWrite };

  // Takes `fd`, also if it cannot be watched: then null, and `error` is set. Nothing counts as ready until the kernel
  // says so, which it does for what is ready now as well.
  static std::unique_ptr<Socket> Watch(Reactor& reactor, int fd, error_code& error);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // -1 once closed.
  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

  // An operation may succeed.
  bool ready(Direction d) const { return state(d).ready; }
  // An operation found nothing (or no room), or took all there was: wait before the next one. No effect on reads after
  // the peer's end, of which there is no further news.
  void Exhausted(Direction d) { state(d).ready = ended_ && d == Direction::kRead; }

  // An operation brought `n` bytes.
  void HasRead(size_t n) { reactor_.OnRead(n); }

  // Whether there is anything to read: bytes, the end or an error. Asks the kernel, unless its news is fresh and says
  // that there is not.
  bool LooksReadable();

  // co_await it: goes on when the direction is ready, the socket is closed, or `scope` has stopped. One at a time for
  // each direction.
  class Waiting {
   public:
    Waiting(Socket& socket, Direction d, CancelScope& scope) : socket_(socket), direction_(d), scope_(scope) {}
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    // While suspended only if the frame is destroyed with its loop.
    ~Waiting() {
      if (hook_) socket_.state(direction_).waiter = nullptr;
    }
    bool await_ready() const { return !socket_.is_open() || socket_.ready(direction_) || scope_.stopped(); }
    void await_suspend(std::coroutine_handle<> h) {
      socket_.state(direction_).waiter = h;
      hook_.emplace(scope_, [this] { socket_.Wake(direction_); });
    }
    void await_resume() { hook_.reset(); }

   private:
    Socket& socket_;
    const Direction direction_;
    CancelScope& scope_;
    std::optional<CancelScope::StopHook> hook_;
  };
  Waiting Wait(Direction d, CancelScope& scope) { return {*this, d, scope}; }

  // Idempotent. Whoever waits goes on.
  void Close();

 private:
  friend class Reactor;
  struct State {
    bool ready = false;
    std::coroutine_handle<> waiter;
  };

  Socket(Reactor& reactor, int fd) : reactor_(reactor), fd_(fd) {}
  State& state(Direction d) { return states_[static_cast<size_t>(d)]; }
  const State& state(Direction d) const { return states_[static_cast<size_t>(d)]; }
  // The kernel's news, from the reactor.
  void Hear(uint32_t events);
  // Those who wait for a direction that is ready go on, in place. They may destroy this.
  void ResumeReady();
  // Makes the waiter go on, from the thread's queue.
  void Wake(Direction d);

  Reactor& reactor_;
  int fd_;
  bool watched_ = false;
  // The peer has ended its side, or the connection is broken.
  bool ended_ = false;
  std::array<State, 2> states_;
};

}  // namespace fetchd::server
