#include "engine/make_service.h"

#include <utility>

#include "engine/engine_thread.h"
#include "engine/layers/attempt_timeout_layer.h"
#include "engine/layers/exchange_layer.h"
#include "engine/layers/retry_layer.h"

namespace fetchd::server {

std::unique_ptr<Service> MakeService(EngineThread& thread) {
  // Retry is outermost, so that each attempt passes everything below anew. The attempt's timeout is next: it is one per
  // attempt, and it starts where the wait for a connection ends, which only the pool below it knows.
  auto exchange = std::make_unique<ExchangeLayer>(thread.pool(), thread.options().http);
  auto attempt_timeout = std::make_unique<AttemptTimeoutLayer>(std::move(exchange));
  return std::make_unique<RetryLayer>(std::move(attempt_timeout), thread.executor(), thread.random(), thread.metrics());
}

}  // namespace fetchd::server
