// The rest of a response that broke off.
#pragma once

#include <memory>
#include <utility>

#include "base/random.h"
#include "engine/service.h"
#include "net/task.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// The outermost layer. When a GET breaks off after its response was committed to the caller, asks for the rest by Range
// and If-Range, as another attempt through all layers below, and gives it to the caller's sink where the response
// stopped. It takes nothing but a 206 that proves to be just that rest (CheckContinuation); with anything else the
// failure that broke the response stands, and none of it reaches the caller. A rest that breaks off is resumed in turn.
//
// A resume is decided and paid for like a retry: by max_attempts, backoff, deadline and the origin's budget. It counts
// bytes as they are sent, in their content coding. A fetch that does not break costs nothing here: the retry layer,
// which sees the commit point, calls Resume when it is needed.
class ResumeLayer final : public Service, public Resumer {
 public:
  ResumeLayer(std::unique_ptr<Service> next, Executor executor, Random& random, ThreadMetrics& metrics)
      : next_(std::move(next)), executor_(std::move(executor)), random_(random), metrics_(metrics) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;
  Task<AttemptOutcome> Resume(FetchContext& context, AttemptOutcome broken) override;

 private:
  // How long to wait before the rest is asked for, which is paid then; nullopt: it is not.
  std::optional<Duration> Decide(FetchContext& context, AttemptOutcome& broken, Duration last_wait);
  std::unique_ptr<Service> next_;
  Executor executor_;
  Random& random_;
  ThreadMetrics& metrics_;
};

}  // namespace fetchd::server
