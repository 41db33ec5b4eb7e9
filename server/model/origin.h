// The unit of ownership.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace fetchd::server {

enum class Scheme : uint8_t { kHttp, kHttps };

// (scheme, host, port), normalised: host in lower case without brackets, port never implied. RFC 6454.
struct Origin {
  Scheme scheme = Scheme::kHttp;
  std::string host;
  uint16_t port = 80;

  // "https://api.example.com:443".
  std::string ToString() const;
  bool operator==(const Origin&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Origin& o) {
    return H::combine(std::move(h), o.scheme, o.host, o.port);
  }
};

}  // namespace fetchd::server
