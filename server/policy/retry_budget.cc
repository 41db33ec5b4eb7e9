#include "policy/retry_budget.h"

namespace fetchd::server {
namespace {

// What a share such as 0.29 of 100 may lack of a whole number.
constexpr double kRounding = 1e-6;

}  // namespace

bool RetryBudget::TryWithdraw(Instant now) {
  window_.Roll(now);
  if (Left(window_) < 1 - kRounding && in_flight_ >= options_.min_concurrent) return false;
  window_.Count(kRetries);
  ++in_flight_;
  return true;
}

void RetryBudget::SetOptions(const RetryBudgetOptions& options) {
  if (options.window != options_.window) window_ = RollingWindow<kCounters>(options.window);
  options_ = options;
}

}  // namespace fetchd::server
