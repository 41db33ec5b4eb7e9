#include "net/cancel_scope.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/fake_clock.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

class CancelScopeTest : public ::testing::Test {
 protected:
  Instant In(int ms) { return clock_.Now() + milliseconds(ms); }
  void Advance(int ms) {
    clock_.Advance(milliseconds(ms));
    timers_.RunExpired(clock_.Now());
  }
  FakeClock clock_;
  TimerQueue timers_;
};

TEST_F(CancelScopeTest, StopsAtItsDeadlineWithItsCode) {
  CancelScope scope(clock_, timers_, In(10), FailureCode::kTotalTimeout);
  Advance(9);
  EXPECT_FALSE(scope.stopped());
  Advance(1);
  ASSERT_TRUE(scope.stopped());
  EXPECT_EQ(scope.reason(), FailureCode::kTotalTimeout);
}

TEST_F(CancelScopeTest, StopsOnceForTheFirstReason) {
  CancelScope scope(clock_, timers_, In(10), FailureCode::kTotalTimeout);
  scope.Cancel(FailureCode::kCancelled);
  scope.Cancel(FailureCode::kInternal);
  Advance(20);
  EXPECT_EQ(scope.reason(), FailureCode::kCancelled);
  EXPECT_EQ(timers_.armed(), 0u);
}

TEST_F(CancelScopeTest, HooksRunOnceAndOnlyWhileRegistered) {
  CancelScope scope(clock_, timers_, kNever, FailureCode::kInternal);
  std::vector<int> ran;
  CancelScope::StopHook first(scope, [&] { ran.push_back(1); });
  {
    CancelScope::StopHook gone(scope, [&] { ran.push_back(2); });
    CancelScope::StopHook also_gone(scope, [&] { ran.push_back(3); });
  }
  CancelScope::StopHook last(scope, [&] { ran.push_back(4); });
  scope.Cancel(FailureCode::kCancelled);
  EXPECT_THAT(ran, ElementsAre(4, 1));
  CancelScope::StopHook late(scope, [&] { ran.push_back(5); });
  EXPECT_THAT(ran, ElementsAre(4, 1, 5));
}

TEST_F(CancelScopeTest, AHookMayRegisterAnother) {
  CancelScope scope(clock_, timers_, kNever, FailureCode::kInternal);
  bool ran = false;
  std::optional<CancelScope::StopHook> inner;
  CancelScope::StopHook hook(scope, [&] { inner.emplace(scope, [&] { ran = true; }); });
  scope.Cancel(FailureCode::kCancelled);
  EXPECT_TRUE(ran);
}

TEST_F(CancelScopeTest, AParentsStopReachesAllBelowWithItsReason) {
  CancelScope root(clock_, timers_, In(10), FailureCode::kTotalTimeout);
  CancelScope child(root, In(20), FailureCode::kAttemptTimeout);
  CancelScope grandchild(child, kNever, FailureCode::kDnsTimeout);
  CancelScope sibling(root, In(5), FailureCode::kQueueTimeout);
  Advance(5);
  EXPECT_EQ(sibling.reason(), FailureCode::kQueueTimeout);
  EXPECT_FALSE(root.stopped());
  Advance(5);
  EXPECT_EQ(child.reason(), FailureCode::kTotalTimeout);
  EXPECT_EQ(grandchild.reason(), FailureCode::kTotalTimeout);
  CancelScope late(child, kNever, FailureCode::kTlsTimeout);
  EXPECT_EQ(late.reason(), FailureCode::kTotalTimeout);
}

TEST_F(CancelScopeTest, AChildsStopLeavesTheParentAlone) {
  CancelScope root(clock_, timers_, kNever, FailureCode::kTotalTimeout);
  {
    CancelScope child(root, In(5), FailureCode::kAttemptTimeout);
    Advance(5);
    EXPECT_TRUE(child.stopped());
  }
  EXPECT_FALSE(root.stopped());
  root.Cancel(FailureCode::kCancelled);  // touches no child that is gone
}

TEST_F(CancelScopeTest, OfEqualDeadlinesTheOutermostCounts) {
  CancelScope root(clock_, timers_, In(10), FailureCode::kTotalTimeout);
  CancelScope child(root, In(10), FailureCode::kAttemptTimeout);
  EXPECT_EQ(timers_.armed(), 1u);
  Advance(10);
  EXPECT_EQ(child.reason(), FailureCode::kTotalTimeout);
}

TEST_F(CancelScopeTest, DeadlineIsTheEarliestOfTheLine) {
  CancelScope root(clock_, timers_, In(30), FailureCode::kTotalTimeout);
  CancelScope child(root, In(10), FailureCode::kAttemptTimeout);
  CancelScope grandchild(child, In(20), FailureCode::kDnsTimeout);
  EXPECT_EQ(grandchild.deadline(), In(10));
  EXPECT_EQ(root.deadline(), In(30));
}

TEST_F(CancelScopeTest, AMovedDeadlineCountsInBothDirections) {
  CancelScope scope(clock_, timers_, In(10), FailureCode::kConnectionReadTimeout);
  scope.SetDeadline(In(30));
  Advance(29);  // runs the timer of the first deadline, which arms itself again
  EXPECT_FALSE(scope.stopped());
  scope.SetDeadline(In(100));
  scope.SetDeadline(In(5));
  Advance(5);
  EXPECT_TRUE(scope.stopped());
}

TEST_F(CancelScopeTest, AMovedDeadlineThatHasPassedStopsAtOnce) {
  CancelScope scope(clock_, timers_, In(10), FailureCode::kConnectionReadTimeout);
  scope.SetDeadline(In(20));
  Advance(50);
  EXPECT_TRUE(scope.stopped());
}

TEST_F(CancelScopeTest, WithoutADeadlineItNeverStops) {
  CancelScope scope(clock_, timers_, In(10), FailureCode::kConnectionReadTimeout);
  scope.SetDeadline(kNever);
  Advance(1000);
  EXPECT_FALSE(scope.stopped());
  EXPECT_EQ(timers_.armed(), 0u);
}

TEST_F(CancelScopeTest, AChildWakesByItselfOnceItsParentsDeadlineMovesAway) {
  CancelScope root(clock_, timers_, In(10), FailureCode::kTotalTimeout);
  CancelScope child(root, In(20), FailureCode::kAttemptTimeout);
  CancelScope grandchild(child, In(15), FailureCode::kDnsTimeout);
  root.SetDeadline(In(100));
  Advance(15);
  ASSERT_TRUE(grandchild.stopped());
  EXPECT_EQ(grandchild.reason(), FailureCode::kDnsTimeout);
  EXPECT_FALSE(child.stopped());
  Advance(5);
  EXPECT_EQ(child.reason(), FailureCode::kAttemptTimeout);
  EXPECT_FALSE(root.stopped());
}

// A run that is told a later time than the clock shows must not spin.
TEST_F(CancelScopeTest, TrustsTheTimeOfTheRun) {
  CancelScope scope(clock_, timers_, In(10), FailureCode::kTotalTimeout);
  scope.SetDeadline(In(20));
  timers_.RunExpired(In(30));
  EXPECT_TRUE(scope.stopped());
}

}  // namespace
}  // namespace fetchd::server
