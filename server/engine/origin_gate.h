// Who may send an attempt to an origin now, and who waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/timer_queue.h"
#include "model/failure.h"
#include "model/request.h"
#include "net/event.h"
#include "policy/concurrency_limit.h"
#include "policy/fair_queue.h"
#include "policy/origin_hold.h"
#include "policy/origin_policy.h"
#include "policy/rate_limit.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// One attempt that waits at the gate. Lives in the frame of the limit layer.
struct GateWaiter : FairQueue::Node {
  GateWaiter(Executor executor, const FetchSpec& wanted) : spec(wanted), event(std::move(executor)) {}
  const FetchSpec& spec;
  Event event;
  // The end of the wait: one of them; with a refusal, when it may be worth while again.
  bool entered = false;
  std::optional<Failure> refused;
  Instant retry_at = kNever;
};

// The limits of one origin, together: what the origin asked of everybody (hold), attempts in a time (rate), attempts at
// once (concurrency), and the latter two for each caller. Attempts that may not go yet wait in a fair queue, and enter
// as soon as they may. Plain state of the owner thread; belongs to the OriginState. When it is destroyed nobody is
// inside or waits.
class OriginGate {
 public:
  // When an attempt that begins to wait could enter at the earliest, and which rule says so.
  struct Forecast {
    Instant at;
    // "hold", "rate_limit", "caller_rate_limit", "caller_concurrency" or "concurrency".
    std::string_view rule;
    std::string Text(Instant now) const;
  };

  // `connections`: the most attempts at once if the policy sets no number. All but `policy` outlive the gate.
  OriginGate(const OriginPolicy& policy, int connections, const Clock& clock, TimerQueue& timers,
             ThreadMetrics& metrics, uint64_t seed);
  OriginGate(const OriginGate&) = delete;
  OriginGate& operator=(const OriginGate&) = delete;

  // New limits; who is inside or waits stays.
  void SetPolicy(const OriginPolicy& policy, int connections, Instant now);

  // Lets an attempt in if nothing stands in its way. Every attempt that is inside must Leave.
  bool TryEnter(const FetchSpec& spec, Instant now) {
    if (waiting_ == 0 && !timed_ && !apart_) return concurrency_.TryAcquire();
    return TryEnterSlowly(spec, now);
  }
  // As far as rates tell; others may come first.
  Forecast Earliest(const FetchSpec& spec, Instant now);
  // May one more attempt wait, if `max_queue` may? When it is full, callers who have little in it still may, for
  // together half as many again: one caller's flood keeps no other out.
  bool MayWait(const FetchSpec& spec, size_t max_queue) const;
  // Begins to wait.
  void Push(GateWaiter& waiter, Instant now);
  // Ends a wait that has not ended.
  void Remove(GateWaiter& waiter, Instant now);
  // An attempt is over.
  void Leave(const FetchSpec& spec, ConcurrencyLimit::Sample sample, Instant now);
  // Ends every wait with this failure.
  void RefuseAll(const Failure& failure, Instant retry_at, Instant now);

  // The origin asked everybody to wait so long.
  void Hold(Duration wait, Instant now);
  // The origin answered well.
  void OnSuccess(Instant now) { hold_.OnSuccess(now); }
  // Forgets what was learnt of the origin.
  void Reset(Instant now);

  size_t waiting() const { return waiting_; }
  const FairQueue& queue() const { return queue_; }
  const ConcurrencyLimit& concurrency() const { return concurrency_; }
  const RateLimit& rate_limit() const { return rate_; }
  const OriginHold& hold() const { return hold_; }

 private:
  // What one caller has of an origin that limits callers apart.
  struct Share {
    explicit Share(const RateLimitOptions& options) : rate(options) {}
    RateLimit rate;
    int in_flight = 0;
    int waiting = 0;
    // Nothing would be lost with it: what its rate still owes would be.
    bool idle(Instant now) const { return in_flight == 0 && waiting == 0 && rate.idle(now); }
  };

  bool TryEnterSlowly(const FetchSpec& spec, Instant now);
  // The instant at which the shared rates let one more attempt go.
  Forecast Shared(Instant now) const;
  Forecast Apart(const Share& share, Instant now) const;
  Share& ShareOf(const std::string& caller);
  void DropIfIdle(const std::string& caller, Instant now);
  // Drops the shares of callers who are gone and whose rate owed something then.
  void Sweep(const Share* keep);
  void Unqueue(GateWaiter& waiter);
  // An attempt goes at `now`; it was due at `due`.
  void Take(const FetchSpec& spec, Instant due);
  // Lets in whoever may enter, and sets the timer for the next.
  void Pump(Instant now);

  const Clock& clock_;
  ThreadMetrics& metrics_;
  RateLimitOptions caller_rate_;
  int per_caller_ = 0;
  OriginHold hold_;
  RateLimit rate_;
  ConcurrencyLimit concurrency_;
  FairQueue queue_;
  size_t waiting_ = 0;
  // An attempt needs the leave of hold or rate.
  bool timed_ = false;
  // Callers are limited apart.
  bool apart_ = false;
  static constexpr size_t kLeastSweep = 64;
  absl::flat_hash_map<std::string, std::unique_ptr<Share>> shares_;
  size_t sweep_at_ = kLeastSweep;
  Timer timer_;
};

}  // namespace fetchd::server
