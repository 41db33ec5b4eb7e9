#include "base/timer_queue.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

Instant At(int ms) { return Instant(milliseconds(ms)); }

TEST(Clock, AfterNeverOverflows) {
  EXPECT_EQ(After(At(5), milliseconds(3)), At(8));
  EXPECT_EQ(After(At(5), Duration::max()), kNever);
  EXPECT_EQ(After(kNever, milliseconds(1)), kNever);
  EXPECT_EQ(After(At(5), milliseconds(-3)), At(5));
}

TEST(TimerQueue, RunsWhatIsDueEarliestFirst) {
  TimerQueue queue;
  std::vector<int> ran;
  Timer c(queue, [&] { ran.push_back(3); }), a(queue, [&] { ran.push_back(1); }), b(queue, [&] { ran.push_back(2); });
  c.Arm(At(30));
  a.Arm(At(10));
  b.Arm(At(20));
  EXPECT_EQ(queue.Next(), At(10));
  EXPECT_EQ(queue.RunExpired(At(9)), 0u);
  EXPECT_EQ(queue.RunExpired(At(20)), 2u);
  EXPECT_THAT(ran, ElementsAre(1, 2));
  EXPECT_FALSE(a.armed());
  EXPECT_TRUE(c.armed());
  EXPECT_EQ(queue.Next(), At(30));
}

TEST(TimerQueue, ArmingAgainReplacesAndNeverDisarms) {
  TimerQueue queue;
  int ran = 0;
  Timer timer(queue, [&] { ++ran; });
  timer.Arm(At(10));
  timer.Arm(At(20));
  EXPECT_EQ(queue.armed(), 1u);
  EXPECT_EQ(queue.RunExpired(At(15)), 0u);
  timer.Arm(kNever);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(queue.Next(), kNever);
  EXPECT_EQ(queue.RunExpired(At(100)), 0u);
  EXPECT_EQ(ran, 0);
}

TEST(TimerQueue, DestroyingATimerDisarmsIt) {
  TimerQueue queue;
  int ran = 0;
  auto timer = std::make_unique<Timer>(queue, [&] { ++ran; });
  timer->Arm(At(1));
  timer.reset();
  EXPECT_EQ(queue.RunExpired(At(5)), 0u);
  EXPECT_EQ(ran, 0);
}

TEST(TimerQueue, CallbackMayArmItselfAndTouchOthers) {
  TimerQueue queue;
  std::vector<std::string> ran;
  auto victim = std::make_unique<Timer>(queue, [&] { ran.push_back("victim"); });
  Timer disarmed(queue, [&] { ran.push_back("disarmed"); });
  Timer* self = nullptr;
  int times = 0;
  Timer again(queue, [&] {
    ran.push_back("again");
    victim.reset();
    disarmed.Disarm();
    if (++times < 3) self->Arm(At(times));  // not after `now`, so it runs in the same call
    if (times == 3) self->Arm(At(50));
  });
  self = &again;
  again.Arm(At(1));
  victim->Arm(At(5));
  disarmed.Arm(At(6));
  EXPECT_EQ(queue.RunExpired(At(10)), 3u);
  EXPECT_THAT(ran, ElementsAre("again", "again", "again"));
  EXPECT_EQ(queue.Next(), At(50));
}

TEST(TimerQueue, TellsWhenAnEarlierTimerIsArmed) {
  TimerQueue queue;
  std::vector<Instant> told;
  queue.OnEarlier([&](Instant at) { told.push_back(at); });
  Timer a(queue, [] {}), b(queue, [] {}), c(queue, [] {});
  a.Arm(At(20));
  b.Arm(At(30));
  EXPECT_THAT(told, ElementsAre(At(20)));
  c.Arm(At(10));
  EXPECT_THAT(told, ElementsAre(At(20), At(10)));
}

// Against the simplest model: a sorted list.
TEST(TimerQueue, StaysAHeapUnderRandomArmingAndDisarming) {
  Random random(7);
  TimerQueue queue;
  std::vector<int> ran;
  constexpr int kTimers = 64;
  std::vector<int> at(kTimers, -1);
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < kTimers; ++i) {
    timers.push_back(std::make_unique<Timer>(queue, [&ran, i] { ran.push_back(i); }));
  }
  int now = 0;
  for (int step = 0; step < 5000; ++step) {
    int i = static_cast<int>(random() % kTimers);
    if (random() % 3 == 0) {
      timers[i]->Disarm();
      at[i] = -1;
    } else {
      at[i] = now + 1 + static_cast<int>(random() % 100);
      timers[i]->Arm(At(at[i]));
    }
    if (step % 50 != 49) continue;
    now += 20;
    std::vector<int> due;
    for (int t = 0; t < kTimers; ++t)
      if (at[t] >= 0 && at[t] <= now) due.push_back(t);
    ran.clear();
    queue.RunExpired(At(now));
    for (size_t k = 1; k < ran.size(); ++k) EXPECT_LE(at[ran[k - 1]], at[ran[k]]);
    std::sort(ran.begin(), ran.end());
    EXPECT_EQ(ran, due);
    for (int t : due) at[t] = -1;
  }
}

}  // namespace
}  // namespace fetchd::server
