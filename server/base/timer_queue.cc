#include "base/timer_queue.h"

#include <utility>

namespace fetchd::server {
namespace {

// Fewer entries than this are not worth sweeping.
constexpr size_t kSweepFrom = 32;

}  // namespace

Instant TimerQueue::Next() {
  DropLeft();
  return heap_.empty() ? kNever : heap_.front().at;
}

size_t TimerQueue::RunExpired(Instant now) {
  size_t ran = 0;
  for (DropLeft(); !heap_.empty() && heap_.front().at <= now; DropLeft()) {
    Timer* timer = heap_.front().timer;
    TakeFront();
    timer->slot_ = Timer::kNoSlot;
    ++ran;
    // Called in place: a callback must not destroy its own timer (see Timer).
    timer->callback_();
  }
  return ran;
}

void TimerQueue::Place(size_t slot, Entry entry) {
  heap_[slot] = entry;
  if (entry.timer != nullptr) entry.timer->slot_ = slot;
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
  // An entry left at the front may be earlier than any armed timer. The owner then wakes up for that one, which is no
  // later.
  const bool earlier = heap_.empty() || at < heap_.front().at;
  heap_.push_back({at, timer});
  SiftUp(heap_.size() - 1);
  if (earlier && on_earlier_) on_earlier_(at);
}

void TimerQueue::Remove(size_t slot) {
  heap_[slot].timer->slot_ = Timer::kNoSlot;
  heap_[slot].timer = nullptr;
  ++left_;
  if (left_ >= kSweepFrom && left_ > heap_.size() / 2) Sweep();
}

void TimerQueue::DropLeft() {
  while (left_ > 0 && heap_.front().timer == nullptr) {
    TakeFront();
    --left_;
  }
}

void TimerQueue::TakeFront() {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (heap_.empty()) return;
  heap_.front() = last;
  SiftDown(0);
}

void TimerQueue::Sweep() {
  std::erase_if(heap_, [](const Entry& entry) { return entry.timer == nullptr; });
  left_ = 0;
  for (size_t slot = heap_.size(); slot-- > 0;) SiftDown(slot);
}

void Timer::Arm(Instant at) {
  Disarm();
  if (at != kNever) queue_.Add(this, at);
}

void Timer::Disarm() {
  if (armed()) queue_.Remove(slot_);
}

}  // namespace fetchd::server
