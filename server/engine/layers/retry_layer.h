// Attempt after attempt.
#pragma once

#include <memory>
#include <utility>

#include "base/random.h"
#include "engine/service.h"
#include "net/task.h"
#include "policy/retry.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Calls the next layer until DecideRetry says that it was enough.
//
// The commit point is the head of a response: one that ends the fetch goes straight to the caller; one that may be
// replaced (its status is retried, and another attempt is to come) is kept aside. When the attempts run out, the last
// response is the outcome if there was one, else the last failure. A response that breaks off after it was committed is
// left to the context's Resumer.
class RetryLayer final : public Service {
 public:
  RetryLayer(std::unique_ptr<Service> next, Executor executor, Random& random, ThreadMetrics& metrics)
      : next_(std::move(next)), executor_(std::move(executor)), random_(random), metrics_(metrics) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;

 private:
  class Run;
  std::unique_ptr<Service> next_;
  Executor executor_;
  Random& random_;
  ThreadMetrics& metrics_;
};

}  // namespace fetchd::server
