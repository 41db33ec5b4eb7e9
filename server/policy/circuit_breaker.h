// Whether an origin is well enough to be asked at all.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/failure.h"
#include "policy/rolling_window.h"

namespace fetchd::server {

enum class BreakerState : uint8_t {
  kClosed,   // attempts pass, results are counted
  kOpen,     // attempts are refused
  kHalfOpen  // a few trials pass, the rest is refused
};

// Lower-case name for logs, traces and metric labels, such as "half_open".
std::string_view ToString(BreakerState state);

struct BreakerOptions {
  bool enabled = true;
  // Opens after so many failures without a success between them. 0: not by this rule.
  int consecutive_failures = 20;
  // Opens when at least this share of the window's results are failures, 0 to 1. Judged when a failure comes. 0: not by
  // this rule.
  double failure_rate = 0.5;
  // Both rates are judged on so many results or more.
  int min_volume = 100;
  // What the rates look back on, in ten steps.
  Duration window = std::chrono::seconds(10);
  // An attempt that took so long or longer is slow, however it ended. 0: nothing is slow.
  Duration slow_call{};
  // Opens when at least this share of the window's results were slow, 0 to 1. Judged when a slow one comes. 0: not by
  // this rule.
  double slow_rate = 0.5;
  // How long it stays open at first; doubled with each half-open that failed in a row, up to max_open_time.
  Duration open_time = std::chrono::seconds(1);
  Duration max_open_time = std::chrono::seconds(4);
  // So many attempts are tried in half-open, and all must succeed. Those that have not ended within the open time that
  // would follow a failure are given up, and others are tried in their place. 1 or more.
  int trials = 3;
  // Statuses that are the origin's failures. Every other one is a success: the origin is there and answers.
  std::vector<int> failure_statuses = {500, 502, 503, 504};
};

// What an attempt says about its origin.
enum class AttemptVerdict : uint8_t {
  kSuccess,
  kFailure,
  kIgnored  // nothing: it never came there, or the fault was not the origin's
};

// `failure` is null if a response came, then `status` counts. Failures of name resolution, connecting, the TLS
// handshake and the exchange count, and so do the attempt's and the total timeout while the origin was to be reached or
// had yet to answer. Not so: cancels, refusals and limits of ours or the caller's, faults of the request, a certificate
// that this caller's rules do not trust, and a reused connection that had died.
AttemptVerdict BreakerVerdict(const Failure* failure, int status, const BreakerOptions& options);

// The circuit breaker of one origin. Its owner's thread only. Each permit is recorded or released once. A permit
// belongs to a generation, which ends with every change of state, and when trials are given up; what attempts of an
// older generation come to is ignored, but for the late success of such a trial.
class CircuitBreaker {
 public:
  struct Permit {
    uint32_t generation = 0;
    // One of half-open's trials.
    bool trial = false;
  };
  struct Decision {
    bool allowed = false;
    // If allowed.
    Permit permit{};
    // If refused: when asking again may help. kNever if it was opened by hand without end.
    Instant retry_at{};
  };
  // The operator's word.
  enum class Manual : uint8_t {
    kNone,
    kOpen,   // refuses everything
    kClosed  // lets everything pass, whatever comes of it
  };
  // Results in the window, for viewers.
  struct Counts {
    uint32_t results = 0;
    uint32_t failures = 0;
    uint32_t slow = 0;
  };

  explicit CircuitBreaker(const BreakerOptions& options);

  // May an attempt go? Moves from open to half-open when it is time.
  Decision Acquire(Instant now) {
    if (state_ == BreakerState::kClosed) return {.allowed = true, .permit = {generation_, false}};
    return AcquireOpen(now);
  }
  // Does the permit still stand? False once the state changed: an attempt that has waited behind the breaker and not
  // gone out then needs a new one of Acquire.
  bool Stands(Permit permit) const { return permit.generation == generation_; }
  // What came of it after `latency`. kIgnored is a Release. True if this opened the breaker.
  bool Record(Permit permit, AttemptVerdict verdict, Duration latency, Instant now);
  // Nothing was learnt (a caller's cancel, a refusal further in, a hedge's loser): a trial is given back.
  void Release(Permit permit);

  // By hand, at any time and also when not enabled. Open and closed stay so until another of the three, or open until
  // `until`, when it is half-open as after any opening. Reset goes back to closed, forgets the past and counts anew.
  void ForceOpen(Instant now, Instant until = kNever);
  void ForceClose();
  void Reset();

  // Open becomes half-open with its time, also before anybody asks.
  BreakerState state(Instant now) const;
  Manual manual() const { return manual_; }
  // When it half-opens, or gives the trials under way up; read only if open or half-open. kNever if opened by hand
  // without end.
  Instant retry_at() const { return retry_at_; }
  Counts counts(Instant now) const;
  // Of half-open.
  int trials_in_flight() const { return state_ == BreakerState::kHalfOpen ? trials_out_ : 0; }
  // Failures without a success since.
  int consecutive_failures() const { return consecutive_; }
  const BreakerOptions& options() const { return options_; }
  // Takes effect at once and keeps the state, but: a window of another length counts anew, a half-open goes on with the
  // trials it began with, and one that is no longer enabled closes unless opened by hand.
  void SetOptions(const BreakerOptions& options);

 private:
  enum Counter : size_t { kResults, kFailures, kSlow, kCounters };
  Decision AcquireOpen(Instant now);
  bool RecordTrial(bool good, Instant now);
  void BeginTrials(Instant now);
  Duration LongerOpenTime() const;
  bool MustOpen(bool failed, bool slow) const;
  void Open(Instant now);
  void Close();
  void Enter(BreakerState state);

  BreakerOptions options_;
  RollingWindow<kCounters> window_;
  BreakerState state_ = BreakerState::kClosed;
  Manual manual_ = Manual::kNone;
  uint32_t generation_ = 0;
  int consecutive_ = 0;
  // Of half-open: its first generation; how many trials it needs, are under way, have succeeded.
  uint32_t half_open_since_ = 0;
  int trials_ = 0;
  int trials_out_ = 0;
  int trials_good_ = 0;
  Duration open_time_{};
  Instant retry_at_{};
};

}  // namespace fetchd::server
