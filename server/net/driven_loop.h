// How an engine thread runs its loop.
#pragma once

#include <chrono>
#include <cstddef>

#include "net/reactor.h"
#include "net/task.h"

namespace fetchd::server {

// Runs an io_context and its reactor in turns on the calling thread, and sleeps only when both have nothing to do. A
// sleep in a virtual machine costs tens of microseconds to come back from, so it first goes on looking for a while if
// that has been worth it lately: see Spin. What else has to be looked at is added by a derived class.
class DrivenLoop {
 public:
  explicit DrivenLoop(asio::io_context& io) : io_(io), reactor_(Reactor::Of(io)) {}
  virtual ~DrivenLoop() = default;
  DrivenLoop(const DrivenLoop&) = delete;
  DrivenLoop& operator=(const DrivenLoop&) = delete;

  // Until the context is stopped or has run out of work.
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
  // How long to go on looking before a sleep: not at all after a sleep that was long, twice as long as last time after
  // one so short that looking would have saved it. So a thread with little to do does not burn a core, and one that is
  // asked again within microseconds does not sleep in between. A thread that works most of the time looks only for
  // about as long as a sleep costs: what comes while it sleeps is then worked off together.
  class Spin {
   public:
    Spin();
    std::chrono::nanoseconds budget() const;
    // There was work for so long before there was none, or none before there was.
    void OnWorked(std::chrono::nanoseconds d) { Average(worked_, d); }
    void OnIdled(std::chrono::nanoseconds d) { Average(idled_, d); }
    // The last idle stretch of `d` ended in a sleep.
    void OnSlept(std::chrono::nanoseconds d);

   private:
    static void Average(std::chrono::nanoseconds& average, std::chrono::nanoseconds d);
    std::chrono::nanoseconds longest_;
    std::chrono::nanoseconds budget_{0};
    std::chrono::nanoseconds worked_{0}, idled_{0};
  };

  void Turn();

  Reactor& reactor_;
  Spin spin_;
  bool turn_posted_ = false;
  size_t events_ = 0;
};

}  // namespace fetchd::server
