// Attempts wait until they may go.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "engine/service.h"

namespace fetchd::server {

// Takes each attempt through the origin's gate: at once if nothing stands in its way; else it waits in the fair queue,
// unless it is known already that the wait would not end in time.
class LimitLayer final : public Service {
 public:
  // `max_queue`: attempts that may wait for one origin, see OriginGate::MayWait; one more gets kConnectionLimitReached.
  LimitLayer(std::unique_ptr<Service> next, Executor executor, size_t max_queue)
      : next_(std::move(next)), executor_(std::move(executor)), max_queue_(max_queue) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;

 private:
  Task<AttemptOutcome> Inside(FetchContext& context);
  Task<AttemptOutcome> Wait(FetchContext& context);

  std::unique_ptr<Service> next_;
  Executor executor_;
  const size_t max_queue_;
};

}  // namespace fetchd::server
