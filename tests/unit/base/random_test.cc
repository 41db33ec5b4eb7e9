#include "base/random.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

TEST(Random, SameSeedSameSequence) {
  Random a(42), b(42), c(43);
  uint64_t first = a();
  EXPECT_EQ(first, b());
  EXPECT_NE(first, c());
  EXPECT_NE(first, a());
}

TEST(Random, NextDoubleIsInTheUnitIntervalAndSpread) {
  Random random(1);
  double sum = 0, least = 1, most = 0;
  for (int i = 0; i < 10000; ++i) {
    double d = random.NextDouble();
    sum += d;
    least = std::min(least, d);
    most = std::max(most, d);
  }
  EXPECT_GE(least, 0.0);
  EXPECT_LT(most, 1.0);
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

}  // namespace
}  // namespace fetchd::server
