// Readiness of sockets on one engine thread.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>

#include "net/task.h"

namespace fetchd::server {

using boost::system::error_code;

class Socket;

// An epoll set of the thread's sockets, beside the one inside asio, because asio's costs a read that fails (EAGAIN) and
// a queued operation for each read that waits. Here a socket is registered once, edge-triggered, and remembers what it
// heard; an exchange over a kept connection costs one send, one receive and its share of an epoll_wait.
//
// One for each io_context, which outlives its sockets. By itself it hangs on the context like any descriptor: the set
// is a file that is readable when a socket is ready, and that asio waits for. A thread that drives its loop by hand
// says so (Drive), polls, and asks for asio's wait before it sleeps alone. Belongs to the thread that runs the context.
class Reactor final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  using key_type = Reactor;

  explicit Reactor(asio::execution_context& context);
  ~Reactor() override;
  static Reactor& Of(asio::io_context& context) { return asio::use_service<Reactor>(context); }

  // From now on the caller polls in each turn, and calls WakeContext before it sleeps in the context.
  void Drive() { driven_ = true; }
  // Tells the sockets what has happened, without waiting, then resumes those who wait for it. Returns how many sockets
  // had news. Only from within a handler of the context, so that what the resumed ones post goes to the thread's own
  // queue.
  size_t Poll();
  // Sockets know what has happened to them but for the last moments: the thread has polled since it slept.
  bool is_fresh() const { return fresh_; }
  // The last read of a socket brought so much. Who knows that it was of many messages says so afterwards.
  void OnRead(size_t n) { last_read_ = n; }
  // Bytes flow rather than messages, by the last read.
  bool bulk() const { return last_read_ >= kBulk; }
  // The next socket that becomes ready ends a wait of the context, and is polled there. Without sockets nothing is
  // waited for, so that the context can run out of work.
  void WakeContext();

  Executor executor() const { return executor_; }

 private:
  friend class Socket;
  static constexpr size_t kAtOnce = 256;
  static constexpr size_t kBulk = 8 * 1024;

  error_code Add(Socket& socket);
  // Also forgets what this round of Poll still has to tell it.
  void Remove(const Socket& socket);
  void shutdown() override;

  Executor executor_;
  // The epoll set.
  asio::posix::basic_stream_descriptor<Executor> set_;
  size_t sockets_ = 0;
  size_t last_read_ = 0;
  bool driven_ = false;
  bool fresh_ = false;
  // A wait of the context is under way.
  bool waking_ = false;
  std::array<epoll_event, kAtOnce> events_;
  size_t event_count_ = 0;
};

}  // namespace fetchd::server
