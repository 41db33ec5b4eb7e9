// One thread that runs the engine's loop and gRPC's completion queue.
#pragma once

#include <grpcpp/completion_queue.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <thread>

#include "net/driven_loop.h"
#include "rpc/cq_tag.h"

namespace fetchd::server {

// The loop thread alone runs the io_context and every CqTag, each inside a handler of the io_context. The completion
// queue has one keeper at a time: the loop, which polls it between handlers, or a helper thread, which sleeps in it and
// posts what comes. While load is light the helper keeps the queue, and only the second event that comes while the
// loop is awake moves it over; the loop gives it back before it sleeps. So an idle process sleeps in two system calls,
// and a busy one hands nothing from thread to thread.
//
// Nothing can be lost: a thread blocks only in run_one (every post wakes it), in Next (which looks at its queue first),
// or parked while the loop, awake or being woken by a post, keeps the queue.
//
// Every tag on the queue must be a CqTag*. Run() is called once; both references outlive it.
class CqLoop final : private DrivenLoop {
 public:
  CqLoop(asio::io_context& io, grpc::CompletionQueue& cq, unsigned cores)
      : DrivenLoop(io, cores), cq_(cq), work_(io.get_executor()) {}

  // Runs on the calling thread until the queue was shut down and is empty, and then the io_context has run out of work.
  // The io_context must not be stopped before.
  void Run();

 private:
  enum Keeper : int { kHelper, kLoop };

  void Help();
  size_t PollMore() override;
  void BeforeSleep() override;
  void AfterSleep() override { want_.store(true, std::memory_order_relaxed); }
  void GiveQueueAway();

  grpc::CompletionQueue& cq_;

  // Who keeps the queue, as the helper sees it: it parks on this word while the loop does.
  std::atomic<int> keeper_{kHelper};
  // Would the loop like to keep the queue? A hint: either answer is right.
  std::atomic<bool> want_{true};

  // Of the loop thread.
  bool keeps_queue_ = false;
  // Until the queue is shut down and empty.
  asio::executor_work_guard<Executor> work_;
};

}  // namespace fetchd::server
