// How many retries an origin's callers can afford together.
#pragma once

#include <cstdint>

#include "base/clock.h"
#include "policy/rolling_window.h"

namespace fetchd::server {

struct RetryBudgetOptions {
  // Retries and hedges, as a share of the window's first attempts: 0 to 1.
  double ratio = 0.2;
  Duration window = std::chrono::seconds(10);
  // While fewer retries than this are in flight one more may always go, so that a quiet origin has some. 0: never.
  int min_concurrent = 3;
  bool operator==(const RetryBudgetOptions&) const = default;
};

// Bounds what retries and hedges add to an origin's load, over all callers: first attempts deposit, each scheduled
// retry withdraws once. Those that min_concurrent lets go are charged too, so that they do not come on top of the
// share. One for each origin; its owner's thread only.
class RetryBudget {
 public:
  explicit RetryBudget(const RetryBudgetOptions& options) : options_(options), window_(options.window) {}

  // A first attempt goes.
  void OnAttempt(Instant now) {
    window_.Roll(now);
    window_.Count(kAttempts);
  }
  // May a retry or a hedge be scheduled? If so it is charged, and in flight until OnRetryEnded.
  bool TryWithdraw(Instant now);
  // A retry that was withdrawn for came to an end, or was not made after all.
  void OnRetryEnded() { --in_flight_; }

  // Retries that the share still allows; below 0 if min_concurrent allowed more.
  double available(Instant now) const { return Left(window_.At(now)); }
  int in_flight() const { return in_flight_; }
  // Forgets what went; what is in flight stays.
  void Reset() { window_.Clear(); }
  const RetryBudgetOptions& options() const { return options_; }
  // Keeps what is in flight. A window of another length counts anew.
  void SetOptions(const RetryBudgetOptions& options);

 private:
  enum Counter : size_t { kAttempts, kRetries, kCounters };
  double Left(const RollingWindow<kCounters>& window) const {
    return options_.ratio * window.total(kAttempts) - window.total(kRetries);
  }

  RetryBudgetOptions options_;
  RollingWindow<kCounters> window_;
  int in_flight_ = 0;
};

}  // namespace fetchd::server
