#include "guard/address_class.h"

#include <set>

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using enum AddressClass;

struct Row {
  const char* address;
  AddressClass expected;
};

// First and last address of each block of the IANA registries, and the addresses just outside.
constexpr Row kRows[] = {
    // IPv4.
    {"0.0.0.0", kUnspecified},
    {"0.255.255.255", kUnspecified},
    {"1.0.0.0", kPublic},
    {"9.255.255.255", kPublic},
    {"10.0.0.0", kPrivate},
    {"10.255.255.255", kPrivate},
    {"11.0.0.0", kPublic},
    {"100.63.255.255", kPublic},
    {"100.64.0.0", kCgnat},
    {"100.127.255.255", kCgnat},
    {"100.128.0.0", kPublic},
    {"126.255.255.255", kPublic},
    {"127.0.0.0", kLoopback},
    {"127.0.0.1", kLoopback},
    {"127.255.255.255", kLoopback},
    {"128.0.0.0", kPublic},
    {"169.253.255.255", kPublic},
    {"169.254.0.0", kLinkLocal},
    {"169.254.169.254", kLinkLocal},
    {"169.254.255.255", kLinkLocal},
    {"169.255.0.0", kPublic},
    {"172.15.255.255", kPublic},
    {"172.16.0.0", kPrivate},
    {"172.31.255.255", kPrivate},
    {"172.32.0.0", kPublic},
    {"191.255.255.255", kPublic},
    {"192.0.0.0", kReserved},
    {"192.0.0.255", kReserved},
    {"192.0.1.0", kPublic},
    {"192.0.1.255", kPublic},
    {"192.0.2.0", kDocumentation},
    {"192.0.2.255", kDocumentation},
    {"192.0.3.0", kPublic},
    {"192.31.196.1", kPublic},  // AS112, globally reachable
    {"192.52.193.1", kPublic},  // AMT, globally reachable
    {"192.88.98.255", kPublic},
    {"192.88.99.0", kReserved},
    {"192.88.99.255", kReserved},
    {"192.88.100.0", kPublic},
    {"192.167.255.255", kPublic},
    {"192.168.0.0", kPrivate},
    {"192.168.255.255", kPrivate},
    {"192.169.0.0", kPublic},
    {"192.175.48.1", kPublic},  // AS112, globally reachable
    {"198.17.255.255", kPublic},
    {"198.18.0.0", kBenchmark},
    {"198.19.255.255", kBenchmark},
    {"198.20.0.0", kPublic},
    {"198.51.99.255", kPublic},
    {"198.51.100.0", kDocumentation},
    {"198.51.100.255", kDocumentation},
    {"198.51.101.0", kPublic},
    {"203.0.112.255", kPublic},
    {"203.0.113.0", kDocumentation},
    {"203.0.113.255", kDocumentation},
    {"203.0.114.0", kPublic},
    {"223.255.255.255", kPublic},
    {"224.0.0.0", kMulticast},
    {"239.255.255.255", kMulticast},
    {"240.0.0.0", kReserved},
    {"255.255.255.254", kReserved},
    {"255.255.255.255", kBroadcast},
    // IPv6.
    {"::", kUnspecified},
    {"::1", kLoopback},
    {"100::", kReserved},  // discard-only
    {"100::ffff", kReserved},
    {"1fff:ffff::", kReserved},
    {"2000::", kPublic},
    {"2000:ffff::1", kPublic},
    {"2001:1::1", kReserved},
    {"2001:1:ffff::", kReserved},
    {"2001:2::", kBenchmark},
    {"2001:2:0:ffff::", kBenchmark},
    {"2001:2:1::", kReserved},
    {"2001:20::1", kReserved},  // ORCHIDv2
    {"2001:1ff:ffff::", kReserved},
    {"2001:200::", kPublic},
    {"2001:db7:ffff::", kPublic},
    {"2001:db8::", kDocumentation},
    {"2001:db8:ffff:ffff::1", kDocumentation},
    {"2001:db9::", kPublic},
    {"2606:4700:4700::1111", kPublic},
    {"2620:4f:8000::1", kPublic},  // AS112, globally reachable
    {"3ffe:ffff::", kPublic},
    {"3fff::", kDocumentation},
    {"3fff:fff:ffff::1", kDocumentation},
    {"3fff:1000::", kPublic},
    {"4000::", kReserved},
    {"5f00::1", kReserved},  // SRv6
    {"fbff:ffff::", kReserved},
    {"fc00::", kUniqueLocal},
    {"fd00:ec2::254", kUniqueLocal},
    {"fdff:ffff::1", kUniqueLocal},
    {"fe00::1", kReserved},
    {"fe7f:ffff::1", kReserved},
    {"fe80::1", kLinkLocal},
    {"febf:ffff::1", kLinkLocal},
    {"fec0::1", kSiteLocal},
    {"feff:ffff::1", kSiteLocal},
    {"ff00::", kMulticast},
    {"ff02::1", kMulticast},
    // IPv4 inside IPv6. Mapped:
    {"::ffff:127.0.0.1", kEmbeddedV4},
    {"::ffff:169.254.169.254", kEmbeddedV4},
    {"::ffff:10.0.0.1", kEmbeddedV4},
    {"::ffff:0.0.0.0", kEmbeddedV4},
    {"::ffff:8.8.8.8", kPublic},
    {"::fffe:8.8.8.8", kReserved},    // just outside
    {"::ffff:0:8.8.8.8", kReserved},  // IPv4-translated, RFC 2765
    // Compatible:
    {"::2", kEmbeddedV4},
    {"::127.0.0.1", kEmbeddedV4},
    {"::192.168.0.1", kEmbeddedV4},
    {"::8.8.8.8", kPublic},
    {"::1:0:0", kReserved},
    // NAT64:
    {"64:ff9b::10.0.0.1", kEmbeddedV4},
    {"64:ff9b::7f00:1", kEmbeddedV4},
    {"64:ff9b::8.8.8.8", kPublic},
    {"64:ff9b:1::8.8.8.8", kReserved},  // local-use NAT64
    {"64:ff9b::1:0808:0808", kReserved},
    {"64:ff9a::8.8.8.8", kReserved},
    // 6to4:
    {"2002:7f00:1::1", kEmbeddedV4},
    {"2002:a00:1::1", kEmbeddedV4},
    {"2002:c0a8:1::", kEmbeddedV4},
    {"2002:808:808::1", kPublic},
    {"2003::1", kPublic},
    // Teredo: server 8.8.8.8, client inverted.
    {"2001:0:808:808::f7f7:f7f7", kPublic},      // client 8.8.8.8
    {"2001:0:808:808::80ff:fffe", kEmbeddedV4},  // client 127.0.0.1
    {"2001:0:a00:1::f7f7:f7f7", kEmbeddedV4},    // server 10.0.0.1
};

TEST(AddressClass, EveryBlockAndTheRowsJustOutside) {
  for (const Row& row : kRows) {
    auto address = IpAddress::Parse(row.address);
    ASSERT_TRUE(address.has_value()) << row.address;
    EXPECT_EQ(Classify(*address), row.expected) << row.address << " is " << ToString(Classify(*address));
  }
}

TEST(AddressClass, EachHasItsOwnName) {
  std::set<std::string_view> names;
  for (int i = 0; i <= kLastAddressClass; ++i) names.insert(ToString(static_cast<AddressClass>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kLastAddressClass) + 1);
}

TEST(AddressClass, EmbeddedAddressesAreTakenOut) {
  auto embedded = [](const char* text) {
    std::string out;
    for (const IpAddress& v4 : EmbeddedV4(*IpAddress::Parse(text))) out += v4.ToString() + " ";
    return out;
  };
  EXPECT_EQ(embedded("::ffff:1.2.3.4"), "1.2.3.4 ");
  EXPECT_EQ(embedded("64:ff9b::1.2.3.4"), "1.2.3.4 ");
  EXPECT_EQ(embedded("2002:102:304::1"), "1.2.3.4 ");
  EXPECT_EQ(embedded("2001:0:102:304::fafa:fafa"), "1.2.3.4 5.5.5.5 ");
  EXPECT_EQ(embedded("::1"), "");
  EXPECT_EQ(embedded("::"), "");
  EXPECT_EQ(embedded("::1:0"), "0.1.0.0 ");
  EXPECT_EQ(embedded("2001:db8::1"), "");
  EXPECT_EQ(embedded("1.2.3.4"), "");
}

}  // namespace
}  // namespace fetchd::server
