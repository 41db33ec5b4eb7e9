#include "engine/make_service.h"

#include <utility>

#include "engine/engine_thread.h"
#include "engine/layers/attempt_timeout_layer.h"
#include "engine/layers/breaker_layer.h"
#include "engine/layers/exchange_layer.h"
#include "engine/layers/hedge_layer.h"
#include "engine/layers/limit_layer.h"
#include "engine/layers/resume_layer.h"
#include "engine/layers/retry_layer.h"
#include "engine/layers/trace_layer.h"

namespace fetchd::server {

std::unique_ptr<Service> MakeLayers(const LayerParts& parts, std::unique_ptr<Service> exchange) {
  // Innermost first. Retry is around the others, so that each attempt passes everything below anew. A hedge is an
  // attempt of its own, so breaker and limits are below it; the breaker is before the limits, so that an open circuit
  // spends no tokens and nobody waits for it. The attempt's timeout is inside the limits: it starts where the waiting
  // ends.
  std::unique_ptr<Service> service = std::make_unique<AttemptTimeoutLayer>(std::move(exchange));
  service = std::make_unique<LimitLayer>(std::move(service), parts.executor, parts.max_queue);
  service = std::make_unique<BreakerLayer>(std::move(service));
  service = std::make_unique<TraceLayer>(std::move(service));
  service = std::make_unique<HedgeLayer>(std::move(service), parts.executor, parts.metrics);
  service = std::make_unique<RetryLayer>(std::move(service), parts.executor, parts.random, parts.metrics);
  // The rest of a broken response is asked for as attempts of its own.
  return std::make_unique<ResumeLayer>(std::move(service), parts.executor, parts.random, parts.metrics);
}

std::unique_ptr<Service> MakeService(EngineThread& thread) {
  return MakeLayers({.executor = thread.executor(),
                     .random = thread.random(),
                     .metrics = thread.metrics(),
                     .max_queue = thread.options().pool.max_queue},
                    std::make_unique<ExchangeLayer>(thread.pool(), thread.options().http));
}

}  // namespace fetchd::server
