#include "net/spin.h"

#include <chrono>

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

TEST(Spin, DoublesWithEachSleepThatLookingWouldHaveSaved) {
  Spin spin(2);
  EXPECT_EQ(spin.budget(), nanoseconds(0));
  for (int us : {20, 40, 80, 160, 160}) {
    spin.OnSlept(microseconds(10));
    EXPECT_EQ(spin.budget(), microseconds(us));
  }
}

TEST(Spin, EndsAfterALongSleepAndBeginsAnew) {
  Spin spin(2);
  for (int i = 0; i < 4; ++i) spin.OnSlept(Spin::kLongest);
  EXPECT_EQ(spin.budget(), Spin::kLongest);
  spin.OnSlept(Spin::kLongest + nanoseconds(1));
  EXPECT_EQ(spin.budget(), nanoseconds(0));
  spin.OnSlept(nanoseconds(0));
  EXPECT_EQ(spin.budget(), Spin::kShort);
}

TEST(Spin, IsShortWhileTheThreadIsMostlyAtWork) {
  Spin spin(2);
  for (int i = 0; i < 4; ++i) spin.OnSlept(microseconds(10));
  for (int i = 0; i < 20; ++i) {
    spin.OnWorked(microseconds(90));
    spin.OnIdled(microseconds(10));
  }
  EXPECT_EQ(spin.budget(), Spin::kShort);
  for (int i = 0; i < 20; ++i) {
    spin.OnWorked(microseconds(10));
    spin.OnIdled(microseconds(90));
  }
  EXPECT_EQ(spin.budget(), Spin::kLongest);
}

TEST(Spin, DoesNotLookWhileBulkIsRead) {
  Spin spin(2);
  spin.OnSlept(microseconds(10));
  spin.SetBulk(true);
  EXPECT_EQ(spin.budget(), nanoseconds(0));
  spin.OnSlept(microseconds(10));
  spin.SetBulk(false);
  EXPECT_EQ(spin.budget(), 2 * Spin::kShort);
}

TEST(Spin, WorkDoesNotLengthenWhatWasNotWorthIt) {
  Spin spin(2);
  spin.OnWorked(milliseconds(1));
  EXPECT_EQ(spin.budget(), nanoseconds(0));
}

TEST(Spin, OneLongStretchDoesNotOutweighAllThatFollows) {
  Spin spin(2);
  for (int i = 0; i < 4; ++i) spin.OnSlept(microseconds(10));
  spin.OnWorked(hours(1));
  EXPECT_EQ(spin.budget(), Spin::kShort);
  spin.OnIdled(milliseconds(1));
  EXPECT_EQ(spin.budget(), Spin::kLongest);
}

TEST(Spin, NeverWithOneCore) {
  for (unsigned cores : {0u, 1u}) {
    Spin spin(cores);
    for (int us : {0, 10, 1000}) {
      spin.OnSlept(microseconds(us));
      EXPECT_EQ(spin.budget(), nanoseconds(0));
    }
  }
}

}  // namespace
}  // namespace fetchd::server
