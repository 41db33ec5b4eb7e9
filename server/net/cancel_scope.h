// Deadlines and cancellation of coroutines on one thread.
#pragma once

#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/timer_queue.h"
#include "model/failure.h"

namespace fetchd::server {

// The right to go on, for one piece of work: a fetch, one of its attempts, one of its phases. Scopes nest, a child
// within its parent's lifetime. A scope stops once, for one reason: its deadline (with the code given for it),
// Cancel(), or its parent's stop. Work that waits registers a StopHook, which must make the wait end soon; it then
// looks at stopped() and returns reason().
//
// This stands where Asio's cancellation slots could: those must be emitted on the right thread, reset after each use
// and turned off per coroutine; a scope is plain state of the owner thread. Not thread-safe: post to the owner to
// cancel.
class CancelScope {
 public:
  // Runs `fn` once when the scope stops (at once if it has stopped), unless destroyed before. Register only as long as
  // the wait lasts. `fn` must not destroy hooks or scopes; it ends a wait (cancels a socket, sets an Event).
  class StopHook {
   public:
    StopHook(CancelScope& scope, absl::AnyInvocable<void()> fn);
    ~StopHook();
    StopHook(const StopHook&) = delete;
    StopHook& operator=(const StopHook&) = delete;

   private:
    friend class CancelScope;
    CancelScope& scope_;
    absl::AnyInvocable<void()> fn_;
    StopHook* next_ = nullptr;
    StopHook** link_ = nullptr;     // what points to this; null once it ran or if never linked
    CancelScope* child_ = nullptr;  // set if this is the hook by which a child hangs on its parent
  };

  // A root scope; stops with `code` at `deadline` (kNever: no deadline). `clock` and `timers` belong to the thread.
  CancelScope(const Clock& clock, TimerQueue& timers, Instant deadline, FailureCode code);
  // A child scope.
  CancelScope(CancelScope& parent, Instant deadline, FailureCode code);
  ~CancelScope() = default;
  CancelScope(const CancelScope&) = delete;
  CancelScope& operator=(const CancelScope&) = delete;

  bool stopped() const { return reason_.has_value(); }
  // Why it stopped. Requires stopped().
  FailureCode reason() const { return *reason_; }
  // Stops it now, unless it has stopped.
  void Cancel(FailureCode why);
  // Moves the deadline; cheap when it moves further away, so it may be called for each read. If it moves beyond that of
  // an ancestor or back, nobody need know: the earliest one stops the scope, with its own code. Of equal ones, the
  // outermost.
  void SetDeadline(Instant deadline);
  // The same, and stops with another code from now on: one scope serves phases that follow each other.
  void SetDeadline(Instant deadline, FailureCode code) {
    code_ = code;
    SetDeadline(deadline);
  }
  // The earliest deadline of this scope and its ancestors.
  Instant deadline() const;
  Instant Now() const { return clock_.Now(); }
  const Clock& clock() const { return clock_; }
  TimerQueue& timers() { return timers_; }

 private:
  void OnTimer();
  // Makes the timer fit the deadlines of this scope and its ancestors, then those of its children.
  void Rearm();

  const Clock& clock_;
  TimerQueue& timers_;
  CancelScope* parent_ = nullptr;
  Instant deadline_;
  Instant armed_for_ = kNever;
  FailureCode code_;
  std::optional<FailureCode> reason_;
  StopHook* hooks_ = nullptr;
  Timer timer_;
  std::optional<StopHook> parent_hook_;
};

}  // namespace fetchd::server
