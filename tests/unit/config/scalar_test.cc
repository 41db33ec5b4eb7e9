#include "config/scalar.h"

#include <gtest/gtest.h>

namespace fetchd::server {
namespace {

TEST(ParseDuration, TakesNumbersWithUnits) {
  EXPECT_EQ(ParseDuration("1.5s"), std::chrono::milliseconds(1500));
  EXPECT_EQ(ParseDuration("250ms"), std::chrono::milliseconds(250));
  EXPECT_EQ(ParseDuration("1m30s"), std::chrono::seconds(90));
  EXPECT_EQ(ParseDuration("24h"), std::chrono::hours(24));
  EXPECT_EQ(ParseDuration("0s"), Duration::zero());
}

TEST(ParseDuration, RefusesEverythingElse) {
  for (const char* text : {"", "0", "5", "s", "-1s", "+1s", "inf", "1 s", "1d", "1s ", " 1s", "1e3s", "9999999h"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
}

TEST(DurationText, UsesTheLargestExactUnitAndReadsBack) {
  EXPECT_EQ(DurationText(std::chrono::seconds(90)), "90s");
  EXPECT_EQ(DurationText(std::chrono::minutes(10)), "10m");
  EXPECT_EQ(DurationText(std::chrono::milliseconds(1500)), "1500ms");
  EXPECT_EQ(DurationText(Duration::zero()), "0s");
  EXPECT_EQ(ParseDuration(DurationText(Duration(1234567891))), Duration(1234567891));
}

TEST(ParseSize, TakesBytesAndBinaryUnits) {
  EXPECT_EQ(ParseSize("65536"), 65536u);
  EXPECT_EQ(ParseSize("64KiB"), 65536u);
  EXPECT_EQ(ParseSize("3.5MiB"), 3670016u);
  EXPECT_EQ(ParseSize("1 GiB"), 1u << 30);
  for (const char* text : {"", "KiB", "64kb", "64KB", "-1", "1.3KiB", "1.5", "0x10", "1e3KiB", "infKiB"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  }
  EXPECT_EQ(SizeText(3670016), "3584KiB");
  EXPECT_EQ(SizeText(1000), "1000");
}

TEST(ParseDecimal, TakesDigitsWithOrWithoutAPointAndReadsBack) {
  EXPECT_EQ(ParseDecimal("0"), 0.0);
  EXPECT_EQ(ParseDecimal("0.25"), 0.25);
  EXPECT_EQ(ParseDecimal("1000000"), 1e6);
  for (const char* text : {"", ".5", "5.", "-1", "+1", "1e3", "inf", "nan", "0x1", "1 ", " 1", "1,5", "50%"}) {
    EXPECT_EQ(ParseDecimal(text), std::nullopt) << text;
  }
  EXPECT_EQ(DecimalText(1e6), "1000000");
  EXPECT_EQ(DecimalText(0.1), "0.1");
  EXPECT_EQ(DecimalText(0), "0");
}

TEST(ParseEndpoint, NeedsAnAddressAndAPort) {
  EXPECT_EQ(ParseEndpoint("127.0.0.1:80")->ToString(), "127.0.0.1:80");
  EXPECT_EQ(ParseEndpoint("[::1]:0")->ToString(), "[::1]:0");
  for (const char* text : {"", ":80", "127.0.0.1", "::1:80", "[::1]", "[::1]80", "[127.0.0.1]:80", "localhost:80",
                           "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:+1", "127.0.0.1:80 "}) {
    EXPECT_EQ(ParseEndpoint(text), std::nullopt) << text;
  }
}

TEST(ParseEndpoint, FillsInTheDefaultPort) {
  EXPECT_EQ(ParseEndpoint("192.0.2.1", 53)->ToString(), "192.0.2.1:53");
  EXPECT_EQ(ParseEndpoint("192.0.2.1:54", 53)->ToString(), "192.0.2.1:54");
  EXPECT_EQ(ParseEndpoint("2001:db8::1", 53)->ToString(), "[2001:db8::1]:53");
  EXPECT_EQ(ParseEndpoint("[2001:db8::1]", 53)->ToString(), "[2001:db8::1]:53");
  EXPECT_EQ(ParseEndpoint("192.0.2.1:0", 53), std::nullopt);
}

TEST(ParsePorts, TakesOneOrARange) {
  EXPECT_EQ(ParsePorts("443"), (std::pair<uint16_t, uint16_t>(443, 443)));
  EXPECT_EQ(ParsePorts("8000-65535"), (std::pair<uint16_t, uint16_t>(8000, 65535)));
  for (const char* text : {"", "0", "-1", "80-", "90-80", "1-65536", "http"}) {
    EXPECT_EQ(ParsePorts(text), std::nullopt) << text;
  }
}

TEST(IsLoopback, KnowsBothFamilies) {
  EXPECT_TRUE(IsLoopback(*IpAddress::Parse("127.255.255.255")));
  EXPECT_TRUE(IsLoopback(*IpAddress::Parse("::1")));
  EXPECT_FALSE(IsLoopback(*IpAddress::Parse("128.0.0.1")));
  EXPECT_FALSE(IsLoopback(*IpAddress::Parse("0.0.0.0")));
  EXPECT_FALSE(IsLoopback(*IpAddress::Parse("::")));
}

}  // namespace
}  // namespace fetchd::server
