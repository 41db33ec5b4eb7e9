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
    case FailureCode::kHttp2ProtocolError:
    case FailureCode::kHttp2StreamReset:
    case FailureCode::kHttp2Flood:
    case FailureCode::kHttpStatusLineInvalid:
    case FailureCode::kHttpStatusInvalid:
    case FailureCode::kHttpHeaderInvalid:
    case FailureCode::kHttpSpaceBeforeColon:
    case FailureCode::kHttpHeaderFolded:
    case FailureCode::kHttpBareCr:
    case FailureCode::kHttpBareLf:
    case FailureCode::kHttpNul:
    case FailureCode::kHttpContentLengthInvalid:
    case FailureCode::kHttpContentLengthConflict:
    case FailureCode::kHttpFramingConflict:
    case FailureCode::kHttpTransferCodingInvalid:
    case FailureCode::kHttp10TransferCoding:
    case FailureCode::kHttpChunkSizeInvalid:
    case FailureCode::kHttpChunkInvalid:
    case FailureCode::kHttpTrailerInvalid:
    case FailureCode::kHttpTooManyInterimResponses:
    case FailureCode::kTlsTruncated:
    case FailureCode::kHttpUnsolicitedResponse:
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
    if (now < retry_at_) return {.retry_at = retry_at_};
    manual_ = Manual::kNone;
    Enter(BreakerState::kHalfOpen);
    half_open_since_ = generation_;
    trials_ = std::max(options_.trials, 1);
    trials_good_ = 0;
    BeginTrials(now);
  } else if (trials_out_ > 0 && now >= retry_at_) {
    // Silence is judged like a failure. Were it waited out, an origin that hangs would be found well again only when
    // the attempts it swallowed time out.
    open_time_ = LongerOpenTime();
    ++generation_;
    BeginTrials(now);
  }
  if (trials_out_ + trials_good_ >= trials_) return {.retry_at = retry_at_};
  ++trials_out_;
  return {.allowed = true, .permit = {generation_, true}};
}

bool CircuitBreaker::Record(Permit permit, AttemptVerdict verdict, Duration latency, Instant now) {
  if (verdict == AttemptVerdict::kIgnored) {
    Release(permit);
    return false;
  }
  bool failed = verdict == AttemptVerdict::kFailure;
  bool slow = options_.slow_call > Duration::zero() && latency >= options_.slow_call;
  if (permit.generation != generation_) {
    // A trial that was given up and has succeeded late is as good as any: else an origin that is slower than the open
    // time would never be found well.
    const bool given_up = permit.trial && state_ == BreakerState::kHalfOpen &&
                          permit.generation - half_open_since_ < generation_ - half_open_since_;
    if (given_up && !failed && !slow && ++trials_good_ >= trials_) Close();
    return false;
  }
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
    open_time_ = LongerOpenTime();
    Open(now);
    return true;
  }
  if (++trials_good_ >= trials_) Close();
  return false;
}

void CircuitBreaker::BeginTrials(Instant now) {
  trials_out_ = 0;
  retry_at_ = After(now, LongerOpenTime());
}

Duration CircuitBreaker::LongerOpenTime() const {
  return open_time_ > options_.max_open_time / 2 ? options_.max_open_time : open_time_ * 2;
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

void CircuitBreaker::ForceOpen(Instant now, Instant until) {
  manual_ = Manual::kOpen;
  open_time_ = std::min(options_.open_time, options_.max_open_time);
  Open(now);
  retry_at_ = until;
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
  if (state_ == BreakerState::kOpen && now >= retry_at_) return BreakerState::kHalfOpen;
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
