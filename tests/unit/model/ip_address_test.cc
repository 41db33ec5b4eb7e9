#include "model/ip_address.h"

#include <arpa/inet.h>

#include <random>

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

TEST(IpAddress, ParsesAndPrintsCanonically) {
  const char* rows[][2] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
      {"fe80::1", "fe80::1"},
  };
  for (auto& row : rows) {
    auto address = IpAddress::Parse(row[0]);
    ASSERT_TRUE(address.has_value()) << row[0];
    EXPECT_EQ(address->ToString(), row[1]);
    EXPECT_EQ(IpAddress::Parse(row[1]), address);
  }
}

TEST(IpAddress, RefusesEveryOtherSpelling) {
  for (const char* text :
       {"",         "1",         "127.1",    "0x7f.0.0.1", "0177.0.0.1", "010.0.0.1",    "1.2.3.4.5",
        "1.2.3",    "256.1.1.1", "1.2.3.4 ", " 1.2.3.4",   "1.2.3.-4",   "2130706433",   "[::1]",
        "::1%eth0", "fe80::1%1", ":::",      "1::2::3",    "12345::",    "::ffff:1.2.3", "example.com"}) {
    EXPECT_EQ(IpAddress::Parse(text), std::nullopt) << text;
  }
  EXPECT_EQ(IpAddress::Parse(std::string_view("1.2.3.4\0", 8)), std::nullopt);
  EXPECT_EQ(IpAddress::Parse(std::string(100, '1')), std::nullopt);
}

// IPv4 is read and printed by our own code, for speed.
TEST(IpAddress, AgreesWithTheSystemOnIpv4) {
  std::mt19937 random(1);
  const auto number = [&random](int n) { return static_cast<size_t>(random() % static_cast<unsigned>(n)); };
  const std::string_view parts[] = {"0",   "1",   "9",   "10",  "99",  "100",  "199", "200", "249", "250",
                                    "255", "256", "260", "300", "999", "1000", "00",  "01",  "001", "4294967296",
                                    "",    ".",   " ",   "-1",  "+1",  "0x1",  "a",   "1e"};
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    const size_t count = number(8) == 0 ? number(7) : 4;
    for (size_t part = 0; part < count; ++part) {
      if (part > 0) text += '.';
      text += parts[number(2) == 0 ? number(11) : number(std::size(parts))];
    }
    std::array<uint8_t, 4> bytes{};
    const bool valid = inet_pton(AF_INET, text.c_str(), bytes.data()) == 1;
    const auto address = IpAddress::Parse(text);
    ASSERT_EQ(address.has_value(), valid) << text;
    if (!valid) continue;
    ++accepted;
    EXPECT_EQ(*address, IpAddress::V4(bytes)) << text;
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_GT(accepted, 500);
}

TEST(Cidr, ContainsItsBlockOnly) {
  struct Row {
    const char* block;
    const char* address;
    bool inside;
  } rows[] = {
      {"10.0.0.0/8", "10.255.255.255", true},
      {"10.0.0.0/8", "11.0.0.0", false},
      {"10.0.0.0/8", "::ffff:10.0.0.1", false},
      {"172.16.0.0/12", "172.31.255.255", true},
      {"172.16.0.0/12", "172.32.0.0", false},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.6", false},
      {"0.0.0.0/0", "255.1.2.3", true},
      {"0.0.0.0/0", "::1", false},
      {"fd00::/8", "fdff::1", true},
      {"fd00::/8", "fc00::1", false},
      {"::1/128", "::1", true},
      {"::/0", "2001:db8::1", true},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::", false},
  };
  for (const Row& row : rows) {
    auto block = Cidr::Parse(row.block);
    ASSERT_TRUE(block.has_value()) << row.block;
    EXPECT_EQ(block->Contains(*IpAddress::Parse(row.address)), row.inside) << row.block << " " << row.address;
  }
}

TEST(Cidr, RefusesMistakes) {
  for (const char* text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ",
                           "10.1.2.3/8", "::/129", "fd00::1/64", "10.0.0.0/0x8", "host/8", "10.0.0/8"}) {
    EXPECT_FALSE(Cidr::Parse(text).has_value()) << text;
  }
  EXPECT_EQ(Cidr::Parse("10.0.0.1")->ToString(), "10.0.0.1/32");
  EXPECT_EQ(Cidr::Parse("FD00::/8")->ToString(), "fd00::/8");
}

TEST(Endpoint, PutsIpv6InBrackets) {
  EXPECT_EQ((Endpoint{*IpAddress::Parse("192.0.2.1"), 80}).ToString(), "192.0.2.1:80");
  EXPECT_EQ((Endpoint{*IpAddress::Parse("2001:db8::1"), 443}).ToString(), "[2001:db8::1]:443");
}

}  // namespace
}  // namespace fetchd::server
