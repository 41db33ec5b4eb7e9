// What kind of network an address belongs to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/ip_address.h"

namespace fetchd::server {

// The blocks of the IANA special-purpose address registries (RFC 6890), in the terms a refusal is explained in. Only
// kPublic is reachable by default.
enum class AddressClass : uint8_t {
  kPublic,
  // 0.0.0.0/8 and ::, which Linux connects to itself.
  kUnspecified,
  kLoopback,
  // RFC 1918.
  kPrivate,
  // 100.64.0.0/10, RFC 6598.
  kCgnat,
  // 169.254.0.0/16 and fe80::/10; cloud metadata services live here.
  kLinkLocal,
  // fc00::/7, RFC 4193.
  kUniqueLocal,
  // fec0::/10, RFC 3879.
  kSiteLocal,
  kMulticast,
  kBroadcast,
  // TEST-NET-1 to 3, 2001:db8::/32, 3fff::/20.
  kDocumentation,
  // 198.18.0.0/15 and 2001:2::/48.
  kBenchmark,
  // An IPv6 address that carries a non-public IPv4 address: see EmbeddedV4.
  kEmbeddedV4,
  // Everything else that is not global unicast: IETF protocol assignments, discard-only, class E, unassigned IPv6.
  kReserved,
};
inline constexpr int kLastAddressClass = static_cast<int>(AddressClass::kReserved);

// An IPv6 address that carries IPv4 addresses is kPublic if all of them are, else kEmbeddedV4.
AddressClass Classify(const IpAddress& address);

// For logs and messages, as in "10.0.0.1 is private": "link-local".
std::string_view ToString(AddressClass address_class);

// The IPv4 addresses inside an IPv6 address: IPv4-mapped ::ffff:0:0/96 and IPv4-compatible ::/96 (RFC 4291), NAT64
// 64:ff9b::/96 (RFC 6052), 6to4 2002::/16 (RFC 3056): one; Teredo 2001::/32 (RFC 4380): server and client. None
// otherwise.
struct EmbeddedAddresses {
  std::array<IpAddress, 2> addresses;
  size_t count = 0;
  const IpAddress* begin() const { return addresses.data(); }
  const IpAddress* end() const { return addresses.data() + count; }
};
EmbeddedAddresses EmbeddedV4(const IpAddress& address);

}  // namespace fetchd::server
