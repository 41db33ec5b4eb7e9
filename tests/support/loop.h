// An engine thread for tests: event loop, timers and clock.
#pragma once

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/timer_queue.h"
#include "net/cancel_scope.h"
#include "net/event.h"
#include "net/task.h"
#include "support/fake_clock.h"

namespace fetchd::server {

// Runs coroutines on the test's own thread. With the system clock, timers go off in real time; with a FakeClock, only
// in Advance(). A test that does not end by itself is aborted after 20 s of real time.
class Loop {
 public:
  Loop() : Loop(SystemClock(), nullptr) {}
  explicit Loop(FakeClock& clock) : Loop(clock, &clock) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  asio::io_context& context() { return context_; }
  Executor executor() { return context_.get_executor(); }
  const Clock& clock() const { return clock_; }
  TimerQueue& timers() { return timers_; }
  // A scope that never stops unless the test cancels it.
  CancelScope& scope() { return scope_; }

  // Runs the loop until `task` has ended, and returns what it returned.
  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> value;
    Start(std::move(task), value);
    RunUntil([&value] { return value.has_value(); });
    return std::move(*value);
  }
  void Run(Task<void> task) {
    bool done = false;
    Start(std::move(task), done);
    RunUntil([&done] { return done; });
  }

  // Starts `task`; it goes on whenever the loop runs. `value` is set when it ends, and outlives it.
  template <typename T>
  void Start(Task<T> task, std::optional<T>& value) {
    Spawn(executor(), Store(std::move(task), value), Rethrow);
  }
  void Start(Task<void> task, bool& done) { Spawn(executor(), Note(std::move(task), done), Rethrow); }

  // Runs the loop until `condition()` is true.
  template <typename Condition>
  void RunUntil(Condition condition) {
    auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > give_up) {
        std::fputs("Loop::RunUntil: the condition did not come true in 20 s\n", stderr);
        std::abort();
      }
      if (timers_.RunExpired(clock_.Now()) > 0 || context_.poll() > 0) continue;
      auto wake = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
      if (fake_ == nullptr) wake = std::min<std::chrono::steady_clock::time_point>(wake, NextTimer(wake));
      context_.run_one_until(wake);
    }
  }

  // Runs what is ready now, without waiting for anything. What is on its way through the kernel may not be ready yet.
  void Poll() {
    while (timers_.RunExpired(clock_.Now()) > 0 || context_.poll() > 0) {
    }
  }

  // Moves the FakeClock and runs what that sets off.
  void Advance(Duration d) {
    fake_->Advance(d);
    Poll();
  }

 private:
  Loop(const Clock& clock, FakeClock* fake)
      : clock_(clock), fake_(fake), scope_(clock, timers_, kNever, FailureCode::kInternal), work_(executor()) {}

  template <typename T>
  static Task<void> Store(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
  static Task<void> Note(Task<void> task, bool& done) {
    co_await std::move(task);
    done = true;
  }
  static void Rethrow(std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  }

  std::chrono::steady_clock::time_point NextTimer(std::chrono::steady_clock::time_point limit) {
    return timers_.Next() == kNever ? limit : timers_.Next();
  }

  const Clock& clock_;
  FakeClock* fake_;
  TimerQueue timers_;
  CancelScope scope_;
  // Destroyed first of the members tasks depend on: frames that are still waiting go while timers and scope live.
  asio::io_context context_{1};
  asio::executor_work_guard<Executor> work_;
};

// A wait for an event, as a task.
inline Task<bool> WaitFor(Event& event, CancelScope& scope) { co_return co_await event.Wait(scope); }

}  // namespace fetchd::server
