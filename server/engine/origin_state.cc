#include "engine/origin_state.h"

#include <cassert>

namespace fetchd::server {

OriginRef::OriginRef(OriginTable& table, OriginState& state) : table_(table), state_(state) {
  ++state.references;
  if (!state.unused_hook.is_linked()) return;
  state.unused_hook.unlink();
  --table.unused_count_;
}

OriginRef::~OriginRef() {
  --state_.references;
  table_.OnLessUse(state_);
}

OriginTable::OriginTable(const Options& options, const PolicySource& policies, int max_connections, const Clock& clock,
                         TimerQueue& timers, Random& random, ThreadMetrics& metrics)
    : options_(options),
      policies_(policies),
      max_connections_(max_connections),
      clock_(clock),
      timers_(timers),
      random_(random),
      metrics_(metrics),
      timer_(timers, [this] { OnTimer(); }) {}

OriginTable::~OriginTable() { unused_.clear(); }

OriginState& OriginTable::Get(const Origin& origin) {
  assert(owner_.IsCurrent());
  auto [it, is_new] = origins_.try_emplace(origin);
  const uint64_t version = policies_.version();
  if (is_new) {
    it->second = std::make_unique<OriginState>(origin, policies_.Current().ForOrigin(origin), max_connections_, clock_,
                                               timers_, metrics_, random_());
    it->second->policy_version = version;
    metrics_.origins.Add(1);
  }
  OriginState& state = *it->second;
  if (state.policy_version != version) {
    state.policy_version = version;
    state.brain.SetPolicy(policies_.Current().ForOrigin(origin), max_connections_, clock_.Now());
  }
  return state;
}

OriginState* OriginTable::Find(const Origin& origin) {
  assert(owner_.IsCurrent());
  const auto found = origins_.find(origin);
  return found == origins_.end() ? nullptr : found->second.get();
}

void OriginTable::OnLessUse(OriginState& state) {
  if (state.used() || state.unused_hook.is_linked()) return;
  state.unused_since = clock_.Now();
  unused_.push_back(state);
  ++unused_count_;
  if (unused_count_ > options_.max_unused) Drop(unused_.front());
  if (!timer_.armed() && !unused_.empty()) timer_.Arm(After(unused_.front().unused_since, options_.idle_timeout));
}

void OriginTable::DropUnused() {
  timer_.Disarm();
  while (!unused_.empty()) Drop(unused_.front());
}

void OriginTable::Drop(OriginState& state) {
  state.unused_hook.unlink();
  --unused_count_;
  metrics_.origins.Add(-1);
  // By a copy of the key: erasing destroys the state that holds it.
  Origin key = state.origin;
  origins_.erase(key);
}

void OriginTable::OnTimer() {
  Instant now = clock_.Now();
  while (!unused_.empty()) {
    Instant at = After(unused_.front().unused_since, options_.idle_timeout);
    if (at > now) {
      timer_.Arm(at);
      return;
    }
    Drop(unused_.front());
  }
}

}  // namespace fetchd::server
