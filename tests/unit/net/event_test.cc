#include "net/event.h"

#include <optional>

#include "gtest/gtest.h"
#include "support/loop.h"

namespace fetchd::server {
namespace {

TEST(Event, SetBeforeWaitIsKeptAndWaitClearsIt) {
  FakeClock clock;
  Loop loop(clock);
  Event event(loop.executor());
  event.Set();
  event.Set();
  EXPECT_TRUE(loop.Run(WaitFor(event, loop.scope())));
  CancelScope scope(loop.scope(), kNever, FailureCode::kInternal);
  std::optional<bool> second;
  loop.Start(WaitFor(event, scope), second);
  loop.Poll();
  EXPECT_FALSE(second.has_value());
  scope.Cancel(FailureCode::kCancelled);
  loop.Poll();
  EXPECT_EQ(second, false);
}

TEST(Event, SetResumesFromTheQueueNotFromInside) {
  FakeClock clock;
  Loop loop(clock);
  Event event(loop.executor());
  std::optional<bool> woken;
  loop.Start(WaitFor(event, loop.scope()), woken);
  loop.Poll();
  event.Set();
  EXPECT_FALSE(woken.has_value());
  loop.Poll();
  EXPECT_EQ(woken, true);
}

TEST(Event, DeadlineEndsTheWait) {
  FakeClock clock;
  Loop loop(clock);
  Event event(loop.executor());
  CancelScope scope(loop.scope(), clock.Now() + std::chrono::seconds(1), FailureCode::kQueueTimeout);
  std::optional<bool> woken;
  loop.Start(WaitFor(event, scope), woken);
  loop.Poll();
  loop.Advance(std::chrono::seconds(1));
  EXPECT_EQ(woken, false);
}

TEST(Event, AStoppedScopeDoesNotHideASetEvent) {
  FakeClock clock;
  Loop loop(clock);
  Event event(loop.executor());
  CancelScope scope(loop.scope(), kNever, FailureCode::kInternal);
  scope.Cancel(FailureCode::kCancelled);
  EXPECT_FALSE(loop.Run(WaitFor(event, scope)));
  event.Set();
  EXPECT_TRUE(loop.Run(WaitFor(event, scope)));
}

TEST(Event, SetAndStopAtOnceWakeTheWaiterOnce) {
  FakeClock clock;
  Loop loop(clock);
  Event event(loop.executor());
  CancelScope scope(loop.scope(), kNever, FailureCode::kInternal);
  std::optional<bool> woken;
  loop.Start(WaitFor(event, scope), woken);
  loop.Poll();
  scope.Cancel(FailureCode::kCancelled);
  event.Set();
  loop.Poll();
  EXPECT_EQ(woken, true);
}

}  // namespace
}  // namespace fetchd::server
