#include "ops/shutdown_signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace fetchd::server {
namespace {

// Each in a process of its own: signals belong to the process.
TEST(ShutdownSignalsDeathTest, TheFirstIsReported) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignals signals;
        kill(getpid(), SIGTERM);
        std::_Exit(signals.Wait([] {}) == SIGTERM ? 7 : 1);
      },
      testing::ExitedWithCode(7), "");
}

TEST(ShutdownSignalsDeathTest, TheSecondEndsTheProcessAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignals signals;
        kill(getpid(), SIGTERM);
        signals.Wait([] {});
        kill(getpid(), SIGINT);
        while (true) pause();
      },
      testing::ExitedWithCode(128 + SIGINT), "");
}

TEST(ShutdownSignalsDeathTest, AHangupIsToldAndTheWaitGoesOn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignals signals;
        kill(getpid(), SIGHUP);
        int hangups = 0;
        signals.Wait([&hangups] { kill(getpid(), ++hangups < 3 ? SIGHUP : SIGTERM); });
        std::_Exit(10 + hangups);
      },
      testing::ExitedWithCode(13), "");
}

TEST(ShutdownSignalsDeathTest, AHangupWhileDrainingDoesNothing) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignals signals;
        kill(getpid(), SIGTERM);
        signals.Wait([] { std::_Exit(1); });
        kill(getpid(), SIGHUP);
        std::_Exit(8);
      },
      testing::ExitedWithCode(8), "");
}

TEST(ShutdownSignalsDeathTest, AClosedPipeDoesNotEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignals signals;
        raise(SIGPIPE);
        std::_Exit(9);
      },
      testing::ExitedWithCode(9), "");
}

}  // namespace
}  // namespace fetchd::server
