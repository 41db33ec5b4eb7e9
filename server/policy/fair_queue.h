// Whose turn it is where callers wait for something scarce.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "model/request.h"

namespace fetchd::server {

// Weighted deficit round robin over callers inside each of the three priorities, first come first served inside each
// caller. Among priorities whose items may go, interactive has 16 turns of 21, normal 4 and bulk 1, spread evenly: the
// higher go first, and the lower are never starved. Every item costs the same.
//
// Items are nodes that their owners keep and that are linked into the queue; a queue of 100,000 items of one caller is
// no slower than one of two. State of its owner's thread, no clock. Only Push allocates, for a caller who had nothing
// waiting in that priority; the caller's entry vanishes with its last item.
class FairQueue {
 public:
  class Node;

 private:
  struct Band;
  // What one caller has waiting in one priority: a ring of nodes, and a member of its band's ring.
  struct Flow {
    Flow* previous = nullptr;
    Flow* next = nullptr;
    Node* head = nullptr;
    Node* tail = nullptr;
    size_t size = 0;
    uint32_t weight = 1;
    Band* band = nullptr;
    std::string caller;
  };

 public:
  // An item that waits. Derive from it. Must be removed before it is destroyed.
  class Node {
   public:
    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    bool queued() const { return flow_ != nullptr; }

   private:
    friend class FairQueue;
    Node* previous_ = nullptr;
    Node* next_ = nullptr;
    Flow* flow_ = nullptr;
  };

  FairQueue();
  FairQueue(const FairQueue&) = delete;
  FairQueue& operator=(const FairQueue&) = delete;
  // Nothing waits any more.
  ~FairQueue();

  // `node` waits from now on, behind all that this caller has waiting in this priority. It was not queued. A caller's
  // items go `weight` (1 or more) times as often as those of a caller of weight 1; the weight pushed last counts.
  void Push(Node& node, std::string_view caller, uint32_t weight, Priority priority);

  // Whose turn it is among the callers whose first item is `eligible(const Node&)`; null if there is none. It stays in
  // the queue, and nothing changes but that its Remove will be its turn. Looks at each caller once at most.
  template <typename Eligible>
  Node* Next(Eligible eligible);

  // `node`, which is queued, waits no longer. If it was the last answer of Next, its caller's turn has passed; any
  // other has given up, which costs no turn.
  void Remove(Node& node);

  size_t size() const { return size_; }
  size_t size(Priority priority) const { return bands_[static_cast<size_t>(priority)].size; }
  // What `caller` has waiting in `priority`.
  size_t waiting(std::string_view caller, Priority priority) const;
  // Callers who wait in `priority`.
  size_t callers(Priority priority) const { return bands_[static_cast<size_t>(priority)].flows.size(); }

 private:
  static constexpr size_t kBands = 3;
  struct Band {
    // By Flow::caller.
    absl::flat_hash_map<std::string_view, std::unique_ptr<Flow>> flows;
    size_t size = 0;
    // Turns out of the sum of all bands' that can go.
    int share = 1;
    // Smooth weighted round robin: what the band is owed.
    int owed = 0;
    // The caller whose turn it is; null if nobody waits. It may go `turns` more times, then comes the next one in the
    // ring. New callers come in behind it.
    Flow* current = nullptr;
    uint32_t turns = 0;
  };

  void PassTurn(Node& node);
  void DropFlow(Flow& flow);

  std::array<Band, kBands> bands_;
  size_t size_ = 0;
  // The last answer of Next while it is queued, and the bands (a bit each) that could have gone instead or did.
  Node* answer_ = nullptr;
  unsigned candidates_ = 0;
};

template <typename Eligible>
FairQueue::Node* FairQueue::Next(Eligible eligible) {
  answer_ = nullptr;
  candidates_ = 0;
  int most = 0;
  for (size_t i = 0; i < kBands; ++i) {
    Band& band = bands_[i];
    if (band.current == nullptr) continue;
    Flow* flow = band.current;
    while (!eligible(static_cast<const Node&>(*flow->head))) {
      flow = flow->next;
      if (flow == band.current) {
        flow = nullptr;
        break;
      }
    }
    if (flow == nullptr) continue;
    candidates_ |= 1u << i;
    // Of equals the higher priority.
    if (answer_ == nullptr || band.owed + band.share > most) {
      answer_ = flow->head;
      most = band.owed + band.share;
    }
  }
  return answer_;
}

}  // namespace fetchd::server
