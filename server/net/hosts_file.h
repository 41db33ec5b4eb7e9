// hosts(5).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/ip_address.h"

namespace fetchd::server {

// Names and addresses of a hosts file. Lines that make no sense are skipped, as every resolver does. Immutable.
class HostsFile {
 public:
  HostsFile() = default;
  static HostsFile Parse(std::string_view text);
  // An unreadable file is as good as an empty one.
  static HostsFile Read(const std::string& path);

  // In the order of the file; empty if the name (lower case, without trailing dot) is not in it.
  const std::vector<IpAddress>& Find(const std::string& name) const;

 private:
  absl::flat_hash_map<std::string, std::vector<IpAddress>> names_;
};

}  // namespace fetchd::server
