#include "base/text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;

TEST(Text, ConcatTakesStringsAndIntegers) {
  EXPECT_EQ(Concat("port ", 80, std::string(" of "), std::string_view("host")), "port 80 of host");
  EXPECT_EQ(Concat(), "");
}

TEST(Text, SplitKeepsEmptyPieces) {
  EXPECT_THAT(Split("a,,b", ','), ElementsAre("a", "", "b"));
  EXPECT_THAT(Split("", ','), ElementsAre(""));
  EXPECT_THAT(Split("a,", ','), ElementsAre("a", ""));
}

TEST(Text, ParseDecimalTakesNothingButDigitsThatFit) {
  EXPECT_EQ(ParseDecimal<uint16_t>("65535"), 65535);
  for (const char* text : {"", "65536", "-1", "+1", " 1", "1 ", "0x1", "1.0"}) {
    EXPECT_EQ(ParseDecimal<uint16_t>(text), std::nullopt) << text;
  }
}

TEST(Text, LineEndsAndNulAreFoundWhereverTheyStand) {
  for (const char c : {'\r', '\n', '\0'}) {
    for (size_t at = 0; at < 70; ++at) {
      std::string text(70, 'x');
      text[at] = c;
      EXPECT_TRUE(HasLineEndOrNul(text)) << at;
    }
  }
  EXPECT_FALSE(HasLineEndOrNul("\t \x01\x0b\x7f\xff"));
  EXPECT_FALSE(HasLineEndOrNul({}));
}

TEST(Text, LowerIsAsciiOnly) { EXPECT_EQ(Lower("A-Z\xc3\x84"), "a-z\xc3\x84"); }

}  // namespace
}  // namespace fetchd::server
