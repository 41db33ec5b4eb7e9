// What one engine thread knows of its origins.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/owner_thread.h"
#include "base/random.h"
#include "base/timer_queue.h"
#include "engine/origin_brain.h"
#include "engine/origin_connections.h"
#include "model/origin.h"
#include "policy/policy_book.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// One origin, as its owner thread knows it: plain members, no locks. Owned by the OriginTable; lives while a fetch or a
// connection uses it, and some time longer.
struct OriginState {
  // The rest is for the brain.
  OriginState(Origin o, const OriginPolicy& policy, int max_connections, const Clock& clock, TimerQueue& timers,
              ThreadMetrics& metrics, uint64_t seed)
      : origin(std::move(o)), brain(policy, max_connections, clock, timers, metrics, seed) {}

  const Origin origin;
  // The pool's part; nobody else writes it.
  OriginConnections connections;
  // What the layers go by.
  OriginBrain brain;

 private:
  friend class OriginTable;
  friend class OriginRef;
  // What an operator set by hand must not be forgotten.
  bool used() const {
    return references > 0 || connections.open > 0 || brain.breaker.manual() != CircuitBreaker::Manual::kNone;
  }
  size_t references = 0;
  // Of the PolicySource, when the brain's policy was looked up.
  uint64_t policy_version = 0;
  Instant unused_since = kNever;
  boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> unused_hook;
};

class OriginTable;

// Keeps an OriginState alive. Belongs to the owner thread.
class OriginRef {
 public:
  OriginRef(OriginTable& table, OriginState& state);
  ~OriginRef();
  OriginRef(const OriginRef&) = delete;
  OriginRef& operator=(const OriginRef&) = delete;
  OriginState& operator*() const { return state_; }
  OriginState* operator->() const { return &state_; }

 private:
  OriginTable& table_;
  OriginState& state_;
};

// The origins of one engine thread. Belongs to it. Must outlive every OriginRef and the pool.
class OriginTable {
 public:
  struct Options {
    // How long an origin without fetch and connection is remembered.
    Duration idle_timeout = std::chrono::minutes(5);
    // So many unused origins are remembered at most; the longest unused goes first.
    size_t max_unused = 4096;
  };

  // `policies` says what holds for each origin, also for those that are known already when that changes.
  // `max_connections`: of the pool, to one origin.
  OriginTable(const Options& options, const PolicySource& policies, int max_connections, const Clock& clock,
              TimerQueue& timers, Random& random, ThreadMetrics& metrics);
  ~OriginTable();

  // Makes the calling thread the owner.
  void Adopt() { owner_.Adopt(); }
  // The state of an origin, made if it is new. Take an OriginRef of it at once.
  OriginState& Get(const Origin& origin);
  // To be called when the last connection of an origin is gone.
  void OnLessUse(OriginState& state);
  // Forgets the unused ones.
  void DropUnused();
  size_t size() const { return origins_.size(); }
  // The state of an origin that is known already, else null.
  OriginState* Find(const Origin& origin);
  // Calls `visit(OriginState&)` for each origin, in no order. It must not add or drop origins.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (auto& [origin, state] : origins_) visit(*state);
  }

 private:
  friend class OriginRef;
  using UnusedList = boost::intrusive::list<
      OriginState,
      boost::intrusive::member_hook<
          OriginState, boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>,
          &OriginState::unused_hook>,
      boost::intrusive::constant_time_size<false>>;

  void Drop(OriginState& state);
  void OnTimer();

  const Options options_;
  const PolicySource& policies_;
  const int max_connections_;
  OwnerThread owner_;
  const Clock& clock_;
  TimerQueue& timers_;
  Random& random_;
  ThreadMetrics& metrics_;
  absl::flat_hash_map<Origin, std::unique_ptr<OriginState>> origins_;
  UnusedList unused_;  // longest unused first
  size_t unused_count_ = 0;
  Timer timer_;
};

}  // namespace fetchd::server
