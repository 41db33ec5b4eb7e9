#include "net/driven_loop.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace fetchd::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr microseconds kShortSpin{20};
constexpr microseconds kLongestSpin{160};

}  // namespace

// With one core, those we would wait for could not run meanwhile.
DrivenLoop::Spin::Spin() : longest_(std::thread::hardware_concurrency() > 1 ? kLongestSpin : microseconds(0)) {}

std::chrono::nanoseconds DrivenLoop::Spin::budget() const {
  return worked_ > idled_ ? std::min<std::chrono::nanoseconds>(budget_, kShortSpin) : budget_;
}

void DrivenLoop::Spin::OnSlept(std::chrono::nanoseconds d) {
  if (d > longest_)
    budget_ = {};
  else
    budget_ = std::clamp<std::chrono::nanoseconds>(2 * budget_, kShortSpin, longest_);
}

void DrivenLoop::Spin::Average(std::chrono::nanoseconds& average, std::chrono::nanoseconds d) {
  // One long stretch must not outweigh all that follows.
  average += (std::min<std::chrono::nanoseconds>(d, std::chrono::milliseconds(1)) - average) / 8;
}

void DrivenLoop::Run() {
  reactor_.Drive();
  bool idle = false;
  // When the present stretch of work, or of none, began; and the last look that found none.
  Clock::time_point since = Clock::now(), looked = since;
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
    looked = Clock::now();
    if (!std::exchange(idle, true)) spin_.OnWorked(looked - std::exchange(since, looked));
    if (looked - since < spin_.budget()) continue;
    BeforeSleep();
    reactor_.WakeContext();
    io_.run_one();
    AfterSleep();
    idle = false;
    const Clock::time_point idle_since = std::exchange(since, Clock::now());
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
