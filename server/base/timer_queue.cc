#include "base/timer_queue.h"

#include <utility>

namespace fetchd::server {

Instant TimerQueue::Next() const { return heap_.empty() ? kNever : heap_.front().at; }

size_t TimerQueue::RunExpired(Instant now) {
  size_t ran = 0;
  while (!heap_.empty() && heap_.front().at <= now) {
    Timer* timer = heap_.front().timer;
    Remove(0);
    ++ran;
    // Called in place: a callback must not destroy its own timer (see Timer).
    timer->callback_();
  }
  return ran;
}

void TimerQueue::Place(size_t slot, Entry entry) {
  heap_[slot] = entry;
  entry.timer->slot_ = slot;
}

void TimerQueue::SiftUp(size_t slot) {
  Entry entry = heap_[slot];
  while (slot > 0) {
    size_t parent = (slot - 1) / 2;
    if (heap_[parent].at <= entry.at) break;
    Place(slot, heap_[parent]);
    slot = parent;
  }
  Place(slot, entry);
}

void TimerQueue::SiftDown(size_t slot) {
  Entry entry = heap_[slot];
  for (;;) {
    size_t child = 2 * slot + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].at < heap_[child].at) ++child;
    if (entry.at <= heap_[child].at) break;
    Place(slot, heap_[child]);
    slot = child;
  }
  Place(slot, entry);
}

void TimerQueue::Add(Timer* timer, Instant at) {
  Instant before = Next();
  heap_.push_back({at, timer});
  timer->slot_ = heap_.size() - 1;
  SiftUp(timer->slot_);
  if (at < before && on_earlier_) on_earlier_(at);
}

void TimerQueue::Remove(size_t slot) {
  heap_[slot].timer->slot_ = Timer::kNoSlot;
  Entry last = heap_.back();
  heap_.pop_back();
  if (slot == heap_.size()) return;
  Place(slot, last);
  SiftUp(slot);
  SiftDown(last.timer->slot_);
}

void Timer::Arm(Instant at) {
  Disarm();
  if (at != kNever) queue_.Add(this, at);
}

void Timer::Disarm() {
  if (armed()) queue_.Remove(slot_);
}

}  // namespace fetchd::server
