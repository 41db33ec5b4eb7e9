#include "policy/fair_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace fetchd::server {

FairQueue::FairQueue() {
  bands_[static_cast<size_t>(Priority::kInteractive)].share = 16;
  bands_[static_cast<size_t>(Priority::kNormal)].share = 4;
  bands_[static_cast<size_t>(Priority::kBulk)].share = 1;
}

FairQueue::~FairQueue() { assert(size_ == 0); }

void FairQueue::Push(Node& node, std::string_view caller, uint32_t weight, Priority priority) {
  assert(!node.queued());
  Band& band = bands_[static_cast<size_t>(priority)];
  auto found = band.flows.find(caller);
  if (found == band.flows.end()) {
    auto made = std::make_unique<Flow>();
    made->caller = caller;
    made->band = &band;
    const std::string_view key = made->caller;
    found = band.flows.emplace(key, std::move(made)).first;
    Flow& flow = *found->second;
    if (band.current == nullptr) {
      flow.previous = flow.next = &flow;
      band.current = &flow;
      band.turns = std::max(weight, 1u);
    } else {
      // Last in the ring: just before whose turn it is.
      flow.next = band.current;
      flow.previous = band.current->previous;
      flow.previous->next = flow.next->previous = &flow;
    }
  }
  Flow& flow = *found->second;
  flow.weight = std::max(weight, 1u);
  node.flow_ = &flow;
  node.previous_ = flow.tail;
  node.next_ = nullptr;
  (flow.tail != nullptr ? flow.tail->next_ : flow.head) = &node;
  flow.tail = &node;
  ++flow.size;
  ++band.size;
  ++size_;
}

void FairQueue::Remove(Node& node) {
  assert(node.queued());
  if (&node == answer_) PassTurn(node);
  Flow& flow = *node.flow_;
  (node.previous_ != nullptr ? node.previous_->next_ : flow.head) = node.next_;
  (node.next_ != nullptr ? node.next_->previous_ : flow.tail) = node.previous_;
  node.previous_ = node.next_ = nullptr;
  node.flow_ = nullptr;
  --size_;
  --flow.band->size;
  if (--flow.size == 0) DropFlow(flow);
}

size_t FairQueue::waiting(std::string_view caller, Priority priority) const {
  const Band& band = bands_[static_cast<size_t>(priority)];
  const auto found = band.flows.find(caller);
  return found == band.flows.end() ? 0 : found->second->size;
}

void FairQueue::PassTurn(Node& node) {
  answer_ = nullptr;
  Flow& flow = *node.flow_;
  Band& band = *flow.band;
  int sum = 0;
  for (size_t i = 0; i < kBands; ++i) {
    if ((candidates_ & (1u << i)) == 0) continue;
    bands_[i].owed += bands_[i].share;
    sum += bands_[i].share;
  }
  band.owed -= sum;
  if (band.current != &flow) {
    // Those before it could not go, and have let their turn pass.
    band.current = &flow;
    band.turns = flow.weight;
  }
  if (--band.turns == 0) {
    band.current = flow.next;
    band.turns = band.current->weight;
  }
}

void FairQueue::DropFlow(Flow& flow) {
  Band& band = *flow.band;
  if (flow.next == &flow) {
    band.current = nullptr;
    band.turns = 0;
    // Who is away is owed nothing, and owes nothing.
    band.owed = 0;
  } else {
    flow.previous->next = flow.next;
    flow.next->previous = flow.previous;
    if (band.current == &flow) {
      band.current = flow.next;
      band.turns = band.current->weight;
    }
  }
  band.flows.erase(band.flows.find(flow.caller));
}

}  // namespace fetchd::server
