// How an engine thread runs its loop.
#pragma once

#include <cstddef>

#include "net/reactor.h"
#include "net/spin.h"
#include "net/task.h"

namespace fetchd::server {

// Runs an io_context and its reactor in turns on the calling thread, and sleeps only when both have nothing to do. A
// sleep in a virtual machine costs tens of microseconds to come back from, so it first goes on looking for a while if
// that has been worth it lately: see Spin. What else has to be looked at is added by a derived class.
class DrivenLoop {
 public:
  // `cores` are those that this thread shares with all but other loops of the process; see Spin.
  DrivenLoop(asio::io_context& io, unsigned cores) : io_(io), reactor_(Reactor::Of(io)), spin_(cores) {}
  virtual ~DrivenLoop() = default;
  DrivenLoop(const DrivenLoop&) = delete;
  DrivenLoop& operator=(const DrivenLoop&) = delete;

  // For one of `loops` loops: the cores of the machine less one for each of the others.
  static unsigned CoresFor(int loops);

  // Until the context is stopped or has run out of work. Open sockets count as work only while this sleeps: whoever
  // wants it to go on without posts and timers holds a work guard.
  void Run();

 protected:
  // At most this many handlers, or events of another source, before the next source has its turn.
  static constexpr size_t kAtOnce = 32;

  // Looks at a further source without waiting, from within a handler; returns how many events it had.
  virtual size_t PollMore() { return 0; }
  // Around each sleep.
  virtual void BeforeSleep() {}
  virtual void AfterSleep() {}

  asio::io_context& io_;

 private:
  void Turn();

  Reactor& reactor_;
  Spin spin_;
  bool turn_posted_ = false;
  size_t events_ = 0;
};

}  // namespace fetchd::server
