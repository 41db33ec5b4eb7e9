#include "rpc/cq_loop.h"

#include <boost/asio/post.hpp>

namespace fetchd::server {

void CqLoop::Run() {
  std::thread helper([this] { Help(); });
  DrivenLoop::Run();
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

size_t CqLoop::PollMore() {
  size_t events = 0;
  while (events < kAtOnce && keeps_queue_) {
    void* tag = nullptr;
    bool ok = false;
    switch (cq_.AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC))) {
      case grpc::CompletionQueue::GOT_EVENT:
        ++events;
        CqTag::Back(tag)->OnEvent(ok);
        break;
      case grpc::CompletionQueue::TIMEOUT:
        return events;
      case grpc::CompletionQueue::SHUTDOWN:
        // The helper sees the same and says so.
        GiveQueueAway();
        return events;
    }
  }
  return events;
}

void CqLoop::BeforeSleep() {
  if (keeps_queue_) GiveQueueAway();
  want_.store(false, std::memory_order_relaxed);
}

void CqLoop::GiveQueueAway() {
  keeps_queue_ = false;
  keeper_.store(kHelper, std::memory_order_release);
  keeper_.notify_one();
}

}  // namespace fetchd::server
