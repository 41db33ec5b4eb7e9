// Notes each attempt for a caller who asked.
#pragma once

#include <memory>
#include <utility>

#include "engine/service.h"

namespace fetchd::server {

// Adds an AttemptTrace for everything that passes here, also for attempts that a layer below refuses. Out of the way of
// fetches without a trace.
class TraceLayer final : public Service {
 public:
  explicit TraceLayer(std::unique_ptr<Service> next) : next_(std::move(next)) {}
  Task<AttemptOutcome> Call(FetchContext& context) override {
    if (context.trace == nullptr) return next_->Call(context);
    return Trace(context);
  }

 private:
  Task<AttemptOutcome> Trace(FetchContext& context);

  std::unique_ptr<Service> next_;
};

}  // namespace fetchd::server
