// A second attempt beside one that is slow.
#pragma once

#include <memory>
#include <utility>

#include "engine/service.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Starts a second attempt if the first has not been answered after a while, and takes the answer that comes first; the
// other attempt is cancelled. At most one extra, for idempotent requests without a streamed body whose caller or
// profile asks for it, paid from the origin's retry budget. Each attempt passes breaker and limits like any other.
class HedgeLayer final : public Service {
 public:
  HedgeLayer(std::unique_ptr<Service> next, Executor executor, ThreadMetrics& metrics)
      : next_(std::move(next)), executor_(std::move(executor)), metrics_(metrics) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;

 private:
  class Race;
  std::unique_ptr<Service> next_;
  Executor executor_;
  ThreadMetrics& metrics_;
};

}  // namespace fetchd::server
