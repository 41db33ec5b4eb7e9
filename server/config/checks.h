// Rules about several keys at once.
#pragma once

#include "config/yaml_reader.h"

namespace fetchd::server {

// Complains about keys that contradict each other. `config` has its defaults filled in and each value is in its range.
void CheckContradictions(const ServerConfig& config, const KeyPlaces& places, absl::string_view file,
                         Complaints& complaints);

}  // namespace fetchd::server
