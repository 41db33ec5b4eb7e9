// The configuration, read once at the start.
//
// Precedence: a flag wins over the file, the file over the default (which stands in the proto, beside its key).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "config/yaml_reader.h"

namespace fetchd::server {

// A key set on the command line.
struct Override {
  // For messages, as "--listen".
  std::string flag;
  // As "listen" or "log.level".
  std::string key;
  // As in YAML; items of a list are separated by commas.
  std::string value;
};

struct LoadedConfig {
  ServerConfig config;
  // For complaints about what turns out later.
  KeyPlaces places;
};

// The configuration of a file, every key filled in and every rule kept. An empty `path` is an empty file. NotFound or
// PermissionDenied if it cannot be read; InvalidArgument with one line for each thing that is wrong, as
// "fetchd.yaml:12: pool.idle_timeout: what is wrong and what is accepted".
absl::StatusOr<LoadedConfig> LoadConfig(const std::string& path, const std::vector<Override>& overrides = {});

// The same from a text; `file` is its name for messages.
absl::StatusOr<LoadedConfig> ParseConfig(const std::string& text, absl::string_view file,
                                         const std::vector<Override>& overrides = {});

}  // namespace fetchd::server
