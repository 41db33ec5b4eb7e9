#include "rpc/origin_writer.h"

#include <string>

#include "model/proxy.h"
#include "model/url.h"
#include "rpc/trace_writer.h"

namespace fetchd::server {
namespace {

v1::OriginBreaker::State StateOf(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return v1::OriginBreaker::STATE_CLOSED;
    case BreakerState::kOpen:
      return v1::OriginBreaker::STATE_OPEN;
    case BreakerState::kHalfOpen:
      return v1::OriginBreaker::STATE_HALF_OPEN;
  }
  return v1::OriginBreaker::STATE_UNSPECIFIED;
}

v1::RetryPolicy::Jitter JitterOf(Jitter jitter) {
  switch (jitter) {
    case Jitter::kNone:
      return v1::RetryPolicy::JITTER_NONE;
    case Jitter::kFull:
      return v1::RetryPolicy::JITTER_FULL;
    case Jitter::kEqual:
      return v1::RetryPolicy::JITTER_EQUAL;
    case Jitter::kDecorrelated:
      return v1::RetryPolicy::JITTER_DECORRELATED;
  }
  return v1::RetryPolicy::JITTER_UNSPECIFIED;
}

v1::Priority PriorityOf(Priority priority) {
  switch (priority) {
    case Priority::kInteractive:
      return v1::PRIORITY_INTERACTIVE;
    case Priority::kNormal:
      return v1::PRIORITY_NORMAL;
    case Priority::kBulk:
      return v1::PRIORITY_BULK;
  }
  return v1::PRIORITY_UNSPECIFIED;
}

uint32_t Count(auto number) { return static_cast<uint32_t>(number); }

void WriteTimeouts(const Timeouts& timeouts, v1::Timeouts& into) {
  const auto write = [](Duration timeout, google::protobuf::Duration* (v1::Timeouts::*field)(), v1::Timeouts& to) {
    if (timeout != kForever) WriteDuration(timeout, *(to.*field)());
  };
  write(timeouts.total, &v1::Timeouts::mutable_total, into);
  write(timeouts.attempt, &v1::Timeouts::mutable_attempt, into);
  write(timeouts.queue, &v1::Timeouts::mutable_queue, into);
  write(timeouts.dns, &v1::Timeouts::mutable_dns, into);
  write(timeouts.connect, &v1::Timeouts::mutable_connect, into);
  write(timeouts.tls, &v1::Timeouts::mutable_tls, into);
  write(timeouts.send_idle, &v1::Timeouts::mutable_send_idle, into);
  write(timeouts.first_byte, &v1::Timeouts::mutable_first_byte, into);
  write(timeouts.between_bytes, &v1::Timeouts::mutable_between_bytes, into);
  into.set_min_bytes_per_second(timeouts.min_bytes_per_second);
}

void WriteRetry(const RetryOptions& retry, v1::RetryPolicy& into) {
  into.set_max_attempts(Count(retry.max_attempts));
  WriteDuration(retry.initial_backoff, *into.mutable_initial_backoff());
  WriteDuration(retry.max_backoff, *into.mutable_max_backoff());
  into.set_jitter(JitterOf(retry.jitter));
  into.set_idempotent(retry.idempotent);
  for (int status = 400; status <= 599; ++status)
    if (retry.statuses.Has(status)) into.add_retry_statuses(Count(status));
}

}  // namespace

void WriteOrigin(const OriginSnapshot& origin, v1::Origin& into) {
  into.set_name(origin.name);
  into.set_rule(origin.rule);
  v1::OriginPool& pool = *into.mutable_pool();
  pool.set_open(Count(origin.open));
  pool.set_idle(Count(origin.idle));
  pool.set_active(Count(origin.active));
  pool.set_waiting(Count(origin.waiting_for_connection));
  v1::OriginBreaker& breaker = *into.mutable_breaker();
  breaker.set_state(StateOf(origin.breaker));
  breaker.set_forced(origin.forced);
  if (origin.retry_at) WriteTime(*origin.retry_at, *breaker.mutable_retry_at());
  breaker.set_consecutive_failures(Count(origin.consecutive_failures));
  breaker.set_results(origin.counts.results);
  if (origin.counts.results > 0) breaker.set_failure_rate(double(origin.counts.failures) / origin.counts.results);
  breaker.set_trials_in_flight(Count(origin.trials_in_flight));
  v1::OriginRateLimit& rate = *into.mutable_rate_limit();
  rate.set_per_second(origin.per_second);
  if (origin.per_second > 0) rate.set_burst(Count(origin.burst));
  if (origin.next_at) WriteTime(*origin.next_at, *rate.mutable_next_at());
  v1::OriginConcurrency& concurrency = *into.mutable_concurrency();
  concurrency.set_limit(Count(origin.limit));
  concurrency.set_in_flight(Count(origin.in_flight));
  concurrency.set_adaptive(origin.adaptive);
  v1::OriginQueue& queue = *into.mutable_queue();
  queue.set_interactive(Count(origin.queued[static_cast<size_t>(Priority::kInteractive)]));
  queue.set_normal(Count(origin.queued[static_cast<size_t>(Priority::kNormal)]));
  queue.set_bulk(Count(origin.queued[static_cast<size_t>(Priority::kBulk)]));
  queue.set_callers(Count(origin.callers));
  into.mutable_retry_budget()->set_available(origin.budget);
  into.mutable_retry_budget()->set_in_flight(Count(origin.retries_in_flight));
  if (origin.hold_until) WriteTime(*origin.hold_until, *into.mutable_hold_until());
  for (const OriginSnapshot::Ejected& ejected : origin.ejected) {
    v1::EjectedEndpoint& out = *into.add_ejected();
    out.set_address(ejected.address.ToString());
    WriteTime(ejected.until, *out.mutable_until());
  }
  if (origin.latency_p95) WriteDuration(*origin.latency_p95, *into.mutable_latency_p95());
}

void WriteCheck(const UrlCheck& check, v1::CheckUrlResponse& into) {
  bool any = false;
  for (const UrlCheck::Address& address : check.addresses) {
    any = any || address.allowed;
    v1::ResolvedAddress& out = *into.add_addresses();
    out.set_address(address.address.ToString());
    out.set_allowed(address.allowed);
    out.set_reason(address.reason);
  }
  into.set_dns_error(check.dns_error);
  // A name that does not resolve now is no question of what is allowed.
  into.set_allowed(any || check.addresses.empty());
  if (!into.allowed()) into.set_reason(check.addresses.front().reason);
  into.set_verdict(static_cast<v1::CheckUrlResponse::Verdict>(check.verdict));
  if (check.at) WriteTime(*check.at, *into.mutable_at());
  into.set_limit(std::string(check.limit));
  WriteOrigin(check.origin, *into.mutable_origin());
}

void WritePolicies(const FetchSpec& spec, v1::CheckUrlResponse& into) {
  into.set_caller(spec.caller);
  into.set_weight(spec.weight);
  WriteTimeouts(spec.timeouts, *into.mutable_timeouts());
  WriteRetry(spec.retry, *into.mutable_retry());
  into.mutable_hedge()->set_enabled(spec.hedge.enabled);
  if (spec.hedge.enabled) WriteDuration(spec.hedge.delay, *into.mutable_hedge()->mutable_delay());
  into.set_priority(PriorityOf(spec.priority));
  if (spec.route.proxy != nullptr) into.set_proxy(spec.route.proxy->name);
}

absl::StatusOr<Origin> ParseOriginName(std::string_view name) {
  absl::StatusOr<Url> url = Url::Parse(name);
  if (!url.ok()) return absl::InvalidArgumentError(url.status().message());
  if (url->target() != "/") return absl::InvalidArgumentError("must be scheme, host and port only");
  return url->origin();
}

}  // namespace fetchd::server
