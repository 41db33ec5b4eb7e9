#include "telemetry/thread_metrics.h"

#include <algorithm>

namespace fetchd::server {
namespace {

constexpr auto kBoundNanos = [] {
  std::array<int64_t, DurationHistogram::kBounds.size()> nanos{};
  for (size_t i = 0; i < nanos.size(); ++i) nanos[i] = static_cast<int64_t>(DurationHistogram::kBounds[i] * 1e9 + 0.5);
  return nanos;
}();

size_t OutcomeClass(const std::optional<FailureCode>& failure, int status) {
  if (failure.has_value() || status < 100 || status > 599) return 0;
  return static_cast<size_t>(status / 100);
}

}  // namespace

void DurationHistogram::Observe(Duration d) {
  // Most phases end at the first bounds.
  const auto bound = std::find_if(kBoundNanos.begin(), kBoundNanos.end(), [d](int64_t n) { return d.count() <= n; });
  buckets_[static_cast<size_t>(bound - kBoundNanos.begin())].Add(1);
  sum_ns_.Add(d.count());
}

void ThreadMetrics::OnAttempt(const AttemptRecord& record) {
  attempts[OutcomeClass(record.failure, record.status)].Add(1);
  const std::optional<Duration> times[] = {record.phases.queue, record.phases.dns,    record.phases.connect,
                                           record.phases.proxy, record.phases.tls,    record.phases.send,
                                           record.phases.wait,  record.phases.receive};
  for (size_t i = 0; i < std::size(times); ++i) {
    if (times[i].has_value()) phases[i].Observe(*times[i]);
  }
}

void ThreadMetrics::OnFetch(const FetchRecord& record) {
  fetches[OutcomeClass(record.failure, record.status)].Add(1);
  if (record.failure.has_value()) {
    failures[static_cast<size_t>(*record.failure)][static_cast<size_t>(record.failure_phase)].Add(1);
  }
  fetch_duration.Observe(record.duration);
  request_bytes.Add(static_cast<int64_t>(record.request_bytes));
  response_bytes.Add(static_cast<int64_t>(record.response_bytes));
}

}  // namespace fetchd::server
