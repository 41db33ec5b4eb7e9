#include "net/cancel_scope.h"

namespace fetchd::server {

CancelScope::StopHook::StopHook(CancelScope& scope, absl::AnyInvocable<void()> fn) : scope_(scope), fn_(std::move(fn)) {
  if (scope_.stopped()) {
    fn_();
    return;
  }
  next_ = scope_.hooks_;
  link_ = &scope_.hooks_;
  if (next_ != nullptr) next_->link_ = &next_;
  scope_.hooks_ = this;
}

CancelScope::StopHook::~StopHook() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
}

CancelScope::CancelScope(const Clock& clock, TimerQueue& timers, Instant deadline, FailureCode code)
    : clock_(clock), timers_(timers), deadline_(kNever), code_(code), timer_(timers, [this] { OnTimer(); }) {
  SetDeadline(deadline);
}

CancelScope::CancelScope(CancelScope& parent, Instant deadline, FailureCode code)
    : clock_(parent.clock_),
      timers_(parent.timers_),
      parent_(&parent),
      deadline_(kNever),
      code_(code),
      timer_(parent.timers_, [this] { OnTimer(); }) {
  parent_hook_.emplace(parent, [this] { Cancel(parent_->reason()); });
  parent_hook_->child_ = this;
  SetDeadline(deadline);
}

void CancelScope::Cancel(FailureCode why) {
  if (stopped()) return;
  reason_ = why;
  timer_.Disarm();
  while (hooks_ != nullptr) {
    StopHook* hook = hooks_;
    hooks_ = hook->next_;
    if (hooks_ != nullptr) hooks_->link_ = &hooks_;
    hook->link_ = nullptr;
    hook->fn_();
  }
}

void CancelScope::SetDeadline(Instant deadline) {
  deadline_ = deadline;
  if (!stopped()) Rearm();
}

void CancelScope::Rearm() {
  if (deadline_ >= (parent_ != nullptr ? parent_->deadline() : kNever)) {
    // An ancestor stops this scope anyway, so the timer stays out of the heap.
    timer_.Disarm();
  } else if (!timer_.armed() || armed_for_ > deadline_) {
    armed_for_ = deadline_;
    timer_.Arm(deadline_);
  }
  // Otherwise it goes off early and arms itself again (OnTimer): moving a deadline further away touches no heap.
  for (StopHook* hook = hooks_; hook != nullptr; hook = hook->next_)
    if (hook->child_ != nullptr) hook->child_->Rearm();
}

Instant CancelScope::deadline() const {
  Instant earliest = deadline_;
  for (const CancelScope* s = parent_; s != nullptr; s = s->parent_)
    if (s->deadline_ < earliest) earliest = s->deadline_;
  return earliest;
}

void CancelScope::OnTimer() {
  if (armed_for_ < deadline_) {
    // The deadline has moved away meanwhile. If it has come all the same, RunExpired calls again at once.
    armed_for_ = deadline_;
    timer_.Arm(deadline_);
    return;
  }
  Cancel(code_);
}

}  // namespace fetchd::server
