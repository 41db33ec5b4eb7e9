#include "guard/address_guard.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

std::vector<Cidr> Blocks(std::initializer_list<const char*> texts) {
  std::vector<Cidr> blocks;
  for (const char* text : texts) blocks.push_back(*Cidr::Parse(text));
  return blocks;
}

AddressGuard::Verdict Check(const AddressGuard& guard, const char* address) {
  return guard.Check(*IpAddress::Parse(address));
}

TEST(AddressGuard, ByDefaultAllowsThePublicInternetOnly) {
  AddressGuard guard({});
  EXPECT_TRUE(Check(guard, "93.184.216.34").allowed);
  EXPECT_TRUE(Check(guard, "2606:4700::1").allowed);
  for (const char* address : {"127.0.0.1", "10.1.2.3", "169.254.169.254", "100.100.100.200", "0.0.0.0", "::1",
                              "::", "fd00:ec2::254", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "224.0.0.1"}) {
    EXPECT_FALSE(Check(guard, address).allowed) << address;
  }
}

TEST(AddressGuard, SaysWhy) {
  AddressGuard::Verdict verdict = Check(AddressGuard({}), "10.1.2.3");
  EXPECT_EQ(verdict.address_class, AddressClass::kPrivate);
  EXPECT_EQ(verdict.reason, "10.1.2.3 is private");
  EXPECT_EQ(Check(AddressGuard({}), "8.8.8.8").reason, "");
}

TEST(AddressGuard, AllowOpensItsBlockAndNoMore) {
  AddressGuard guard({Blocks({"10.1.0.0/16", "fd12::/16"}), {}, {}});
  EXPECT_TRUE(Check(guard, "10.1.255.255").allowed);
  EXPECT_FALSE(Check(guard, "10.2.0.0").allowed);
  EXPECT_TRUE(Check(guard, "fd12::5").allowed);
  EXPECT_FALSE(Check(guard, "fd13::5").allowed);
}

TEST(AddressGuard, DenyWinsOverAllowAndPublic) {
  AddressGuard guard({Blocks({"10.0.0.0/8"}), Blocks({"10.0.0.5", "8.8.8.0/24"}), {}});
  EXPECT_TRUE(Check(guard, "10.0.0.4").allowed);
  AddressGuard::Verdict verdict = Check(guard, "10.0.0.5");
  EXPECT_FALSE(verdict.allowed);
  EXPECT_THAT(verdict.reason, HasSubstr("10.0.0.5/32"));
  EXPECT_FALSE(Check(guard, "8.8.8.8").allowed);
  EXPECT_TRUE(Check(guard, "8.8.4.4").allowed);
}

TEST(AddressGuard, EmbeddedAddressesAreJudgedToo) {
  AddressGuard guard({Blocks({"10.0.0.0/8"}), Blocks({"10.0.0.5", "8.8.8.8"}), {}});
  EXPECT_TRUE(Check(guard, "::ffff:10.0.0.4").allowed);
  EXPECT_TRUE(Check(guard, "64:ff9b::10.0.0.4").allowed);
  EXPECT_FALSE(Check(guard, "::ffff:10.0.0.5").allowed);
  EXPECT_FALSE(Check(guard, "64:ff9b::8.8.8.8").allowed);
  EXPECT_FALSE(Check(guard, "::ffff:192.168.0.1").allowed);
  // Teredo has two: the allowed server does not open the way to a client that is not.
  EXPECT_FALSE(Check(guard, "2001:0:a00:4::3f57:fffe").allowed);  // client 192.168.0.1
  EXPECT_TRUE(Check(guard, "2001:0:a00:4::f5ff:fff8").allowed);   // client 10.0.0.7
}

}  // namespace
}  // namespace fetchd::server
