// The time one attempt has.
#pragma once

#include <memory>
#include <utility>

#include "engine/service.h"

namespace fetchd::server {

// Gives each attempt a scope of its own, which stops with kAttemptTimeout. Its deadline is set by the pool when the
// attempt leaves the queue; until then the wait counts against the queue timeout and the whole fetch alone.
class AttemptTimeoutLayer final : public Service {
 public:
  explicit AttemptTimeoutLayer(std::unique_ptr<Service> next) : next_(std::move(next)) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;

 private:
  std::unique_ptr<Service> next_;
};

}  // namespace fetchd::server
