// Deadlines of one thread, in a heap: arming and disarming cost no system call.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"

namespace fetchd::server {

class Timer;

// The armed timers of one thread. The owner of the queue (an engine thread, or a test) calls RunExpired when the time
// of Next() has come. Owned by its thread; not thread-safe. Must outlive its timers.
class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Called when a timer is armed for an earlier instant than any other, so that the owner can wake up in time. One that
  // was disarmed since the last Next() may still count; the owner wakes up for it and is told of the next one.
  void OnEarlier(absl::AnyInvocable<void(Instant)> on_earlier) { on_earlier_ = std::move(on_earlier); }

  // The earliest armed instant, or kNever.
  Instant Next();

  // Runs the callback of each timer due at `now`, earliest first; each is disarmed before it runs. A callback may arm,
  // disarm any timer and destroy any but its own; one that is armed again for an instant not after `now` runs in this
  // call as well. Returns how many ran.
  size_t RunExpired(Instant now);

  size_t armed() const { return heap_.size() - left_; }

 private:
  friend class Timer;
  struct Entry {
    Instant at;
    // Null once disarmed.
    Timer* timer;
  };
  void Add(Timer* timer, Instant at);
  // Leaves the entry where it is: most deadlines never come, and to sift each out costs more than to sweep them
  // together.
  void Remove(size_t slot);
  // Takes out the entries left at the front.
  void DropLeft();
  // Takes out all of them.
  void Sweep();
  void TakeFront();
  void Place(size_t slot, Entry entry);
  void SiftUp(size_t slot);
  void SiftDown(size_t slot);

  std::vector<Entry> heap_;
  // Entries of timers that were disarmed.
  size_t left_ = 0;
  absl::AnyInvocable<void(Instant)> on_earlier_;
};

// One deadline with a callback. Belongs to the thread of its queue. Destroying it disarms it; its own callback must not
// do that, as it runs in place.
class Timer {
 public:
  // `callback` runs on the queue's thread from TimerQueue::RunExpired.
  Timer(TimerQueue& queue, absl::AnyInvocable<void()> callback) : queue_(queue), callback_(std::move(callback)) {}
  ~Timer() { Disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Runs the callback at `at`; replaces an earlier arming. kNever disarms.
  void Arm(Instant at);
  void Disarm();
  bool armed() const { return slot_ != kNoSlot; }

 private:
  friend class TimerQueue;
  static constexpr size_t kNoSlot = std::numeric_limits<size_t>::max();
  TimerQueue& queue_;
  size_t slot_ = kNoSlot;
  absl::AnyInvocable<void()> callback_;
};

}  // namespace fetchd::server
