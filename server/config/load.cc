#include "config/load.h"

#include <utility>

#include "config/checks.h"
#include "config/file.h"
#include "config/yaml_reader.h"

namespace fetchd::server {

absl::StatusOr<LoadedConfig> ParseConfig(const std::string& text, absl::string_view file,
                                         const std::vector<Override>& overrides) {
  ServerConfig config;
  KeyPlaces places;
  Complaints complaints;
  ReadYaml(text, file, config, places, complaints);
  for (const Override& override : overrides) {
    SetKey(override.key, override.value, override.flag, config, places, complaints);
  }
  FillDefaults(config);
  // A default in place of a value that was refused would only lead to further complaints.
  if (complaints.empty()) CheckContradictions(config, places, file, complaints);
  if (!complaints.empty()) return absl::InvalidArgumentError(complaints.Text());
  return LoadedConfig{.config = std::move(config), .places = std::move(places)};
}

absl::StatusOr<LoadedConfig> LoadConfig(const std::string& path, const std::vector<Override>& overrides) {
  if (path.empty()) return ParseConfig("", "(defaults)", overrides);
  const absl::StatusOr<std::string> text = ReadFile(path, size_t{1} << 20);
  if (!text.ok()) return text.status();
  return ParseConfig(*text, path, overrides);
}

}  // namespace fetchd::server
