// The order of the layers.
#pragma once

#include <memory>

#include "engine/service.h"

namespace fetchd::server {

class EngineThread;

// All layers of an engine thread, outermost first.
std::unique_ptr<Service> MakeService(EngineThread& thread);

}  // namespace fetchd::server
