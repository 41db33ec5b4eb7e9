// Which hosts a proxy is not asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/ip_address.h"
#include "model/url.h"

namespace fetchd::server {

// One rule, in the notation that curl and Go read from `no_proxy`:
//   example.com        that host and those below it
//   .example.com       those below it (`*.example.com` is the same)
//   192.0.2.1          that address, 2001:db8::1 likewise
//   192.0.2.0/24       URLs with an address in that block; names are not resolved for it
//   *                  every host
// Hosts and addresses may be followed by a port, as in example.com:8443 or [2001:db8::1]:8443.
class NoProxyRule {
 public:
  // InvalidArgument, saying why, if `text` is none of these or could never match.
  static absl::StatusOr<NoProxyRule> Parse(std::string_view text);
  bool Matches(const Url& url) const;
  bool operator==(const NoProxyRule&) const = default;

 private:
  enum class Kind { kAll, kHost, kBelow, kAddress, kBlock };
  bool MatchesHost(std::string_view host) const;

  Kind kind_ = Kind::kAll;
  // With kHost "example.com", with kBelow ".example.com".
  std::string host_;
  IpAddress address_;
  Cidr block_;
  // Unset: every port.
  std::optional<uint16_t> port_;
};

// Several of them. Immutable.
class NoProxy {
 public:
  NoProxy() = default;
  explicit NoProxy(std::vector<NoProxyRule> rules) : rules_(std::move(rules)) {}
  // A rule says that `url` is reached without the proxy.
  bool Matches(const Url& url) const;
  bool operator==(const NoProxy&) const = default;

 private:
  std::vector<NoProxyRule> rules_;
};

}  // namespace fetchd::server
