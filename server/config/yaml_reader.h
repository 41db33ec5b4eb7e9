// YAML text into the config proto, by what the proto says about its keys.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "config/schema.h"

namespace fetchd::server {

// Where each key that is not a default was set ("pool.idle_timeout", "origins[2].breaker.trials"), as "fetchd.yaml:12"
// or "--listen".
using KeyPlaces = absl::flat_hash_map<std::string, std::string>;

// Complaints for a person, each as "fetchd.yaml:12: pool.idle_timeout: what is wrong and what is accepted".
class Complaints {
 public:
  void Add(absl::string_view place, absl::string_view key, absl::string_view what);
  bool empty() const { return texts_.empty(); }
  // One a line, without a line feed at the end.
  std::string Text() const;

 private:
  std::vector<std::string> texts_;
};

// Reads `text` into `config` and notes where each key stands. Refuses what is not YAML, unknown and repeated keys, and
// values of another type, format or range than the key's. `file` is the name for messages.
void ReadYaml(const std::string& text, absl::string_view file, ServerConfig& config, KeyPlaces& places,
              Complaints& complaints);

// Sets one key, as "ops.listen", to `value`, replacing what it was; items of a list are separated by commas. `place` is
// for messages. Requires that the key exists.
void SetKey(absl::string_view key, absl::string_view value, absl::string_view place, ServerConfig& config,
            KeyPlaces& places, Complaints& complaints);

// All keys with a value as YAML. Of a ServerConfig, ReadYaml would read it.
std::string ToYaml(const google::protobuf::Message& message);
// A scalar in YAML: in quotes unless it is plain enough for any reader.
std::string YamlText(const std::string& text);

}  // namespace fetchd::server
