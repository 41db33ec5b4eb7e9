// An engine thread whose time jumps from event to event.
#pragma once

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.h"
#include "base/timer_queue.h"
#include "net/task.h"
#include "support/fake_clock.h"

namespace fetchd::simulation {

using server::Clock;
using server::Duration;
using server::Executor;
using server::Instant;
using server::TimerQueue;

// Clock, timers and event loop of a simulation. What happens at one instant happens in the order in which it was set
// off; nothing depends on real time. Sleeps cost nothing: the clock is set to the next timer.
class VirtualTime {
 public:
  VirtualTime() : work_(context_.get_executor()) {}
  VirtualTime(const VirtualTime&) = delete;
  VirtualTime& operator=(const VirtualTime&) = delete;

  const Clock& clock() const { return clock_; }
  Instant Now() const { return clock_.Now(); }
  TimerQueue& timers() { return timers_; }
  Executor executor() { return context_.get_executor(); }

  // Lets everything happen that is due until `end`.
  void RunUntil(Instant end) {
    Settle();
    while (timers_.Next() <= end) {
      clock_.Advance(std::max(timers_.Next() - clock_.Now(), Duration::zero()));
      Settle();
    }
    clock_.Advance(end - clock_.Now());
  }

 private:
  void Settle() {
    while (timers_.RunExpired(clock_.Now()) > 0 || context_.poll() > 0) {
    }
  }

  server::FakeClock clock_;
  TimerQueue timers_;
  // Goes before the timers that waiting coroutines have armed.
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<Executor> work_;
};

}  // namespace fetchd::simulation
