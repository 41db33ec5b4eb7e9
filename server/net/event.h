// A flag that a coroutine can wait for.
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "net/cancel_scope.h"
#include "net/task.h"

namespace fetchd::server {

// Set by one side, awaited by one coroutine on the same thread. Set() before Wait() is kept. Waiting clears it. Must
// outlive the wait.
class Event {
 public:
  explicit Event(Executor executor) : executor_(std::move(executor)) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // Resumes the waiter from the thread's queue, never from inside this call.
  void Set();

  // co_await it: true once set; false if `scope` stopped first.
  class Waiting {
   public:
    Waiting(Event& event, CancelScope& scope) : event_(event), scope_(scope) {}
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    // While suspended only if the frame is destroyed with its loop.
    ~Waiting() {
      if (hook_) event_.waiter_ = nullptr;
    }
    bool await_ready() const { return event_.set_ || scope_.stopped(); }
    void await_suspend(std::coroutine_handle<> h) {
      event_.waiter_ = h;
      hook_.emplace(scope_, [this] { event_.Wake(); });
    }
    bool await_resume() {
      hook_.reset();
      return std::exchange(event_.set_, false);
    }

   private:
    Event& event_;
    CancelScope& scope_;
    std::optional<CancelScope::StopHook> hook_;
  };
  Waiting Wait(CancelScope& scope) { return {*this, scope}; }

 private:
  void Wake();

  Executor executor_;
  bool set_ = false;
  std::coroutine_handle<> waiter_;
};

}  // namespace fetchd::server
