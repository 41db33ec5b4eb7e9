#include "net/driven_loop.h"

#include <algorithm>
#include <thread>

namespace fetchd::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr microseconds kFirstSpin{20};
constexpr microseconds kLongestSpin{160};

}  // namespace

// With one core, those we would wait for could not run meanwhile.
DrivenLoop::Spin::Spin() : max_(std::thread::hardware_concurrency() > 1 ? kLongestSpin : microseconds(0)) {}

void DrivenLoop::Spin::OnSleep(std::chrono::nanoseconds slept) {
  if (slept > max_)
    budget_ = {};
  else
    budget_ = std::clamp<std::chrono::nanoseconds>(2 * budget_, kFirstSpin, max_);
}

void DrivenLoop::Run() {
  reactor_.Drive();
  constexpr Clock::time_point kBusy{};
  Clock::time_point idle_since = kBusy;
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
      idle_since = kBusy;
      continue;
    }
    const auto now = Clock::now();
    if (idle_since == kBusy) idle_since = now;
    if (now - idle_since < spin_.budget()) continue;
    idle_since = kBusy;
    BeforeSleep();
    reactor_.WakeContext();
    io_.run_one();
    AfterSleep();
    spin_.OnSleep(Clock::now() - now);
  }
}

void DrivenLoop::Turn() {
  turn_posted_ = false;
  events_ += PollMore();
  events_ += reactor_.Poll();
}

}  // namespace fetchd::server
