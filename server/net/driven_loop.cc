#include "net/driven_loop.h"

#include <chrono>
#include <thread>
#include <utility>

namespace fetchd::server {
namespace {

using SteadyClock = std::chrono::steady_clock;

}  // namespace

unsigned DrivenLoop::CoresFor(int loops) {
  // Asked of each loop by itself, all would look at the same time, and those they wait for could not run.
  const int left = static_cast<int>(std::thread::hardware_concurrency()) - loops + 1;
  return left > 0 ? static_cast<unsigned>(left) : 1;
}

void DrivenLoop::Run() {
  reactor_.Drive();
  bool idle = false;
  // When the present stretch of work, or of none, began; and the last look that found none.
  SteadyClock::time_point since = SteadyClock::now(), looked = since;
  while (!io_.stopped()) {
    events_ = 0;
    if (!turn_posted_) {
      turn_posted_ = true;
      // As a handler, so that what it sets off posts to asio's own queue of this thread.
      asio::post(io_, [this] { Turn(); });
    }
    size_t ran = 0;
    while (ran < kAtOnce && io_.poll_one() > 0) ++ran;
    // Other than the turn itself.
    if (ran > 1 || events_ > 0) {
      if (std::exchange(idle, false)) spin_.OnIdled(looked - std::exchange(since, looked));
      continue;
    }
    looked = SteadyClock::now();
    spin_.SetBulk(reactor_.bulk());
    if (!std::exchange(idle, true)) spin_.OnWorked(looked - std::exchange(since, looked));
    if (looked - since < spin_.budget()) continue;
    BeforeSleep();
    reactor_.WakeContext();
    io_.run_one();
    AfterSleep();
    idle = false;
    const SteadyClock::time_point idle_since = std::exchange(since, SteadyClock::now());
    spin_.OnIdled(since - idle_since);
    spin_.OnSlept(since - idle_since);
  }
}

void DrivenLoop::Turn() {
  turn_posted_ = false;
  // Sockets first, so that what the other source begins knows of connections that have ended meanwhile.
  events_ += reactor_.Poll();
  events_ += PollMore();
}

}  // namespace fetchd::server
