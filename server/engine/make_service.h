// The order of the layers.
#pragma once

#include <cstddef>
#include <memory>

#include "base/random.h"
#include "engine/service.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

class EngineThread;

// What the layers need of their thread.
struct LayerParts {
  Executor executor;
  Random& random;
  ThreadMetrics& metrics;
  // Attempts that may wait for one origin.
  size_t max_queue = 1024;
};

// The layers around what makes one exchange (a simulation has another one than the engine), outermost first:
// resume > retry > hedge > trace > breaker > limits > attempt timeout > exchange.
std::unique_ptr<Service> MakeLayers(const LayerParts& parts, std::unique_ptr<Service> exchange);

// All layers of an engine thread.
std::unique_ptr<Service> MakeService(EngineThread& thread);

}  // namespace fetchd::server
