#include "rpc/cq_loop.h"

#include <boost/asio/post.hpp>
#include <chrono>

namespace fetchd::server {
namespace {

// Handlers, and events, in one turn before the other side has its turn.
constexpr int kAtOnce = 32;
// How long the loop goes on polling the queue it keeps before it gives it back and sleeps.
constexpr std::chrono::microseconds kSpin{20};

}  // namespace

void CqLoop::Run() {
  using SpinClock = std::chrono::steady_clock;
  std::thread helper([this] { Help(); });
  SpinClock::time_point spin_until{};
  while (!io_.stopped()) {
    events_ = 0;
    if (keeps_queue_ && !poll_posted_) {
      poll_posted_ = true;
      // As a handler, so that what a tag posts goes to asio's own queue of this thread.
      asio::post(io_, [this] { PollQueue(); });
    }
    const bool polling = poll_posted_;
    size_t ran = 0;
    while (ran < kAtOnce && io_.poll_one() > 0) ++ran;
    if (ran > (polling ? 1U : 0U) || events_ > 0) {
      spin_until = {};
      continue;
    }
    if (keeps_queue_) {
      const auto now = SpinClock::now();
      if (spin_until == SpinClock::time_point{}) spin_until = now + kSpin;
      if (now < spin_until) continue;
      GiveQueueAway();
    }
    spin_until = {};
    want_.store(false, std::memory_order_relaxed);
    io_.run_one();
    want_.store(true, std::memory_order_relaxed);
  }
  helper.join();
}

void CqLoop::Help() {
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    if (!cq_.Next(&tag, &ok)) {
      asio::post(io_, [this] { work_.reset(); });
      return;
    }
    CqTag* const event = CqTag::Back(tag);
    if (!want_.load(std::memory_order_relaxed)) {
      // The first event after a sleep leaves the queue here: at low rates nothing is handed over.
      want_.store(true, std::memory_order_relaxed);
      asio::post(io_, [event, ok] { event->OnEvent(ok); });
      continue;
    }
    keeper_.store(kLoop, std::memory_order_relaxed);
    asio::post(io_, [this, event, ok] {
      keeps_queue_ = true;
      event->OnEvent(ok);
    });
    keeper_.wait(kLoop, std::memory_order_acquire);
  }
}

void CqLoop::PollQueue() {
  poll_posted_ = false;
  // It may have been given away between the post and now.
  for (int i = 0; i < kAtOnce && keeps_queue_; ++i) {
    void* tag = nullptr;
    bool ok = false;
    switch (cq_.AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC))) {
      case grpc::CompletionQueue::GOT_EVENT:
        ++events_;
        CqTag::Back(tag)->OnEvent(ok);
        break;
      case grpc::CompletionQueue::TIMEOUT:
        return;
      case grpc::CompletionQueue::SHUTDOWN:
        // The helper sees the same and says so.
        GiveQueueAway();
        return;
    }
  }
}

void CqLoop::GiveQueueAway() {
  keeps_queue_ = false;
  keeper_.store(kHelper, std::memory_order_release);
  keeper_.notify_one();
}

}  // namespace fetchd::server
