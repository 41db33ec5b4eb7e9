#include "guard/address_class.h"

#include <algorithm>
#include <initializer_list>

namespace fetchd::server {
namespace {

// A row of the registries: the first `prefix` bits of `base`.
template <size_t N>
struct Block {
  std::array<uint8_t, N> base;
  int prefix;
  AddressClass address_class;
};

using Block4 = Block<4>;
using Block6 = Block<16>;
using enum AddressClass;

// https://www.iana.org/assignments/iana-ipv4-special-registry, less the rows that are globally reachable (AS112, AMT).
// The first row that fits counts. 192.0.0.9 and .10 are anycast for PCP and TURN, nothing that speaks HTTP.
constexpr Block4 kV4[] = {
    {{0, 0, 0, 0}, 8, kUnspecified},         {{10, 0, 0, 0}, 8, kPrivate},
    {{100, 64, 0, 0}, 10, kCgnat},           {{127, 0, 0, 0}, 8, kLoopback},
    {{169, 254, 0, 0}, 16, kLinkLocal},      {{172, 16, 0, 0}, 12, kPrivate},
    {{192, 0, 0, 0}, 24, kReserved},         {{192, 0, 2, 0}, 24, kDocumentation},
    {{192, 88, 99, 0}, 24, kReserved},  // 6to4 relay anycast, RFC 7526
    {{192, 168, 0, 0}, 16, kPrivate},        {{198, 18, 0, 0}, 15, kBenchmark},
    {{198, 51, 100, 0}, 24, kDocumentation}, {{203, 0, 113, 0}, 24, kDocumentation},
    {{224, 0, 0, 0}, 4, kMulticast},         {{255, 255, 255, 255}, 32, kBroadcast},
    {{240, 0, 0, 0}, 4, kReserved},
};

// https://www.iana.org/assignments/iana-ipv6-special-registry. Embedded IPv4 is judged before this table.
constexpr Block6 kV6[] = {
    {{}, 128, kUnspecified},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, kLoopback},
    {{0x20, 0x01, 0x00, 0x02, 0, 0}, 48, kBenchmark},
    {{0x20, 0x01}, 23, kReserved},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, kDocumentation},
    {{0x3f, 0xff}, 20, kDocumentation},
    {{0xfc}, 7, kUniqueLocal},
    {{0xfe, 0x80}, 10, kLinkLocal},
    {{0xfe, 0xc0}, 10, kSiteLocal},
    {{0xff}, 8, kMulticast},
    // Global unicast is assigned from 2000::/3 alone; the rest has 64:ff9b:1::/48, 100::/64, 5f00::/16 and what is not
    // assigned.
    {{0x20}, 3, kPublic},
    {{}, 0, kReserved},
};

template <size_t N>
bool Contains(const Block<N>& block, const std::array<uint8_t, 16>& bytes) {
  for (int bit = 0; bit < block.prefix; bit += 8) {
    auto mask = static_cast<uint8_t>(block.prefix - bit >= 8 ? 0xff : 0xff << (8 - (block.prefix - bit)));
    if ((block.base[bit / 8] & mask) != (bytes[bit / 8] & mask)) return false;
  }
  return true;
}

bool StartsWith(const std::array<uint8_t, 16>& bytes, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

}  // namespace

EmbeddedAddresses EmbeddedV4(const IpAddress& address) {
  EmbeddedAddresses found;
  if (address.is_v4()) return found;
  const auto& b = address.bytes();
  auto add = [&](size_t at, uint8_t mask = 0) {
    found.addresses[found.count++] =
        IpAddress::V4({static_cast<uint8_t>(b[at] ^ mask), static_cast<uint8_t>(b[at + 1] ^ mask),
                       static_cast<uint8_t>(b[at + 2] ^ mask), static_cast<uint8_t>(b[at + 3] ^ mask)});
  };
  if (StartsWith(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) ||
      StartsWith(b, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {
    add(12);
  } else if (StartsWith(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})) {
    // :: and ::1 are addresses of their own.
    if (!StartsWith(b, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) || b[15] > 1) add(12);
  } else if (StartsWith(b, {0x20, 0x02})) {
    add(2);
  } else if (StartsWith(b, {0x20, 0x01, 0, 0})) {
    add(4);
    add(12, 0xff);  // the client's address is stored inverted
  }
  return found;
}

AddressClass Classify(const IpAddress& address) {
  if (address.is_v4()) {
    for (const Block4& block : kV4)
      if (Contains(block, address.bytes())) return block.address_class;
    return kPublic;
  }
  EmbeddedAddresses embedded = EmbeddedV4(address);
  if (embedded.count > 0) {
    bool all_public =
        std::all_of(embedded.begin(), embedded.end(), [](const IpAddress& v4) { return Classify(v4) == kPublic; });
    return all_public ? kPublic : kEmbeddedV4;
  }
  for (const Block6& block : kV6)
    if (Contains(block, address.bytes())) return block.address_class;
  return kReserved;
}

std::string_view ToString(AddressClass address_class) {
  switch (address_class) {
    case kPublic:
      return "public";
    case kUnspecified:
      return "unspecified";
    case kLoopback:
      return "loopback";
    case kPrivate:
      return "private";
    case kCgnat:
      return "carrier-grade NAT";
    case kLinkLocal:
      return "link-local";
    case kUniqueLocal:
      return "unique-local";
    case kSiteLocal:
      return "site-local";
    case kMulticast:
      return "multicast";
    case kBroadcast:
      return "broadcast";
    case kDocumentation:
      return "documentation";
    case kBenchmark:
      return "benchmarking";
    case kEmbeddedV4:
      return "IPv6 with a non-public IPv4 address inside";
    case kReserved:
      return "reserved";
  }
  return "reserved";
}

}  // namespace fetchd::server
