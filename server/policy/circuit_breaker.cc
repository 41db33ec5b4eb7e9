#include "policy/circuit_breaker.h"

#include <algorithm>

namespace fetchd::server {
namespace {

// Phases in which only the origin, or the way to it, can be waited for. Sending and receiving wait for the caller too.
bool WaitsForOrigin(Phase phase) {
  return phase == Phase::kDns || phase == Phase::kConnect || phase == Phase::kTls || phase == Phase::kWait;
}

// `part` of `whole` reaches the rate; a rate of 0 is never reached.
bool Reaches(double rate, uint32_t part, uint32_t whole) {
  return rate > 0 && static_cast<double>(part) >= rate * static_cast<double>(whole);
}

}  // namespace

std::string_view ToString(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "closed";
    case BreakerState::kOpen:
      return "open";
    case BreakerState::kHalfOpen:
      return "half_open";
  }
  return "closed";
}

AttemptVerdict BreakerVerdict(const Failure* failure, int status, const BreakerOptions& options) {
  if (failure == nullptr) {
    for (int bad : options.failure_statuses)
      if (status == bad) return AttemptVerdict::kFailure;
    return AttemptVerdict::kSuccess;
  }
  switch (failure->code) {
    case FailureCode::kConnectionTerminated:
      return failure->reused_connection ? AttemptVerdict::kIgnored : AttemptVerdict::kFailure;
    case FailureCode::kDnsError:
    case FailureCode::kDnsTimeout:
    case FailureCode::kConnectionRefused:
    case FailureCode::kDestinationUnavailable:
    case FailureCode::kConnectionTimeout:
    case FailureCode::kConnectionWriteTimeout:
    case FailureCode::kConnectionReadTimeout:
    case FailureCode::kTlsProtocolError:
    case FailureCode::kTlsAlertReceived:
    case FailureCode::kTlsTimeout:
    case FailureCode::kHttpProtocolError:
    case FailureCode::kHttpResponseIncomplete:
    case FailureCode::kHttpResponseTimeout:
    case FailureCode::kMinRateTimeout:
      return AttemptVerdict::kFailure;
    case FailureCode::kAttemptTimeout:
    case FailureCode::kTotalTimeout:
      return WaitsForOrigin(failure->phase) ? AttemptVerdict::kFailure : AttemptVerdict::kIgnored;
    default:
      return AttemptVerdict::kIgnored;
  }
}

CircuitBreaker::CircuitBreaker(const BreakerOptions& options)
    : options_(options), window_(options.window), open_time_(options.open_time) {}

CircuitBreaker::Decision CircuitBreaker::AcquireOpen(Instant now) {
  if (state_ == BreakerState::kOpen) {
    if (manual_ == Manual::kOpen || now < retry_at_) return {.retry_at = retry_at_};
    Enter(BreakerState::kHalfOpen);
    trials_ = std::max(options_.trials, 1);
    trials_out_ = trials_good_ = 0;
  }
  // The trials under way may take their time; should one fail now, this is when the next are made.
  if (trials_out_ + trials_good_ >= trials_) return {.retry_at = After(now, open_time_)};
  ++trials_out_;
  return {.allowed = true, .permit = {generation_, true}};
}

bool CircuitBreaker::Record(Permit permit, AttemptVerdict verdict, Duration latency, Instant now) {
  if (verdict == AttemptVerdict::kIgnored) {
    Release(permit);
    return false;
  }
  if (permit.generation != generation_) return false;
  bool failed = verdict == AttemptVerdict::kFailure;
  bool slow = options_.slow_call > Duration::zero() && latency >= options_.slow_call;
  if (permit.trial) return RecordTrial(!failed && !slow, now);

  window_.Roll(now);
  window_.Count(kResults);
  if (!failed) consecutive_ = 0;
  if (!failed && !slow) return false;

  if (failed) {
    ++consecutive_;
    window_.Count(kFailures);
  }
  if (slow) window_.Count(kSlow);
  if (!options_.enabled || manual_ != Manual::kNone || !MustOpen(failed, slow)) return false;
  open_time_ = std::min(options_.open_time, options_.max_open_time);
  Open(now);
  return true;
}

bool CircuitBreaker::RecordTrial(bool good, Instant now) {
  --trials_out_;
  if (!good) {
    open_time_ = open_time_ > options_.max_open_time / 2 ? options_.max_open_time : open_time_ * 2;
    Open(now);
    return true;
  }
  if (++trials_good_ >= trials_) Close();
  return false;
}

void CircuitBreaker::Release(Permit permit) {
  if (permit.trial && permit.generation == generation_) --trials_out_;
}

bool CircuitBreaker::MustOpen(bool failed, bool slow) const {
  if (failed && options_.consecutive_failures > 0 && consecutive_ >= options_.consecutive_failures) return true;
  uint32_t results = window_.total(kResults);
  if (static_cast<int64_t>(results) < options_.min_volume) return false;
  return (failed && Reaches(options_.failure_rate, window_.total(kFailures), results)) ||
         (slow && Reaches(options_.slow_rate, window_.total(kSlow), results));
}

void CircuitBreaker::Open(Instant now) {
  Enter(BreakerState::kOpen);
  retry_at_ = After(now, open_time_);
}

void CircuitBreaker::Close() {
  Enter(BreakerState::kClosed);
  consecutive_ = 0;
  window_.Clear();
}

void CircuitBreaker::Enter(BreakerState state) {
  state_ = state;
  ++generation_;
}

void CircuitBreaker::ForceOpen(Instant now) {
  manual_ = Manual::kOpen;
  open_time_ = std::min(options_.open_time, options_.max_open_time);
  Open(now);
  retry_at_ = kNever;
}

void CircuitBreaker::ForceClose() {
  manual_ = Manual::kClosed;
  Close();
}

void CircuitBreaker::Reset() {
  manual_ = Manual::kNone;
  Close();
}

BreakerState CircuitBreaker::state(Instant now) const {
  if (state_ == BreakerState::kOpen && manual_ != Manual::kOpen && now >= retry_at_) return BreakerState::kHalfOpen;
  return state_;
}

CircuitBreaker::Counts CircuitBreaker::counts(Instant now) const {
  RollingWindow<kCounters> window = window_.At(now);
  return {window.total(kResults), window.total(kFailures), window.total(kSlow)};
}

void CircuitBreaker::SetOptions(const BreakerOptions& options) {
  if (options.window != options_.window) window_ = RollingWindow<kCounters>(options.window);
  options_ = options;
  if (!options_.enabled && manual_ == Manual::kNone && state_ != BreakerState::kClosed) Close();
}

}  // namespace fetchd::server
