// A flag that a coroutine can wait for.
#pragma once

#include <utility>

#include "absl/functional/any_invocable.h"
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
  // True once set; false if `scope` stopped first.
  Task<bool> Wait(CancelScope& scope);

 private:
  Task<void> Suspend();
  Executor executor_;
  bool set_ = false;
  absl::AnyInvocable<void()> waiter_;
};

}  // namespace fetchd::server
