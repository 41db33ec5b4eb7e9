#include "net/hosts_file.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>

#include "base/text.h"

namespace fetchd::server {

HostsFile HostsFile::Parse(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  HostsFile file;
  for (std::string_view line : Split(text, '\n')) {
    line = line.substr(0, line.find('#'));
    std::optional<IpAddress> address;
    for (size_t at = 0; (at = line.find_first_not_of(kBlanks, at)) != line.npos;) {
      size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
      std::string_view word = line.substr(at, end - at);
      at = end;
      if (address.has_value()) {
        std::vector<IpAddress>& addresses = file.names_[Lower(word)];
        if (std::find(addresses.begin(), addresses.end(), *address) == addresses.end()) addresses.push_back(*address);
      } else {
        address = IpAddress::Parse(word);
        if (!address.has_value()) break;
      }
    }
  }
  return file;
}

HostsFile HostsFile::Read(const std::string& path) {
  std::ifstream in(path);
  return Parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

const std::vector<IpAddress>& HostsFile::Find(const std::string& name) const {
  static const std::vector<IpAddress> none;
  auto it = names_.find(name);
  return it == names_.end() ? none : it->second;
}

}  // namespace fetchd::server
