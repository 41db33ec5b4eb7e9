#include "net/task.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

// The least and the greatest address of the stack that a task was seen on.
struct StackSeen {
  uintptr_t low = UINTPTR_MAX;
  uintptr_t high = 0;

  void Look() {
    const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    low = std::min(low, here);
    high = std::max(high, here);
  }
  size_t size() const { return high - low; }
};

// Sets a flag when it goes.
class Flagging {
 public:
  explicit Flagging(bool& gone) : gone_(&gone) {}
  Flagging(Flagging&& other) noexcept : gone_(std::exchange(other.gone_, nullptr)) {}
  ~Flagging() {
    if (gone_ != nullptr) *gone_ = true;
  }

 private:
  bool* gone_;
};

// Suspends until somebody resumes it by hand.
struct Parked {
  std::coroutine_handle<>& where;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> h) { where = h; }
  void await_resume() {}
};

Task<int> Number(int n) { co_return n; }

Task<std::unique_ptr<int>> OnHeap(int n) { co_return std::make_unique<int>(n); }

Task<int> NumberSeen(int n, StackSeen& stack) {
  stack.Look();
  co_return n;
}

Task<int> Failing() {
  throw std::runtime_error("no");
  co_return 1;
}

Task<int> Passing() {
  const int n = co_await Failing();
  co_return n + 1;
}

Task<void> Park(std::coroutine_handle<>& where) { co_await Parked{where}; }

class TaskTest : public ::testing::Test {
 protected:
  // Begins `task`, counts its end, and keeps what it threw.
  void Start(Task<void> task) {
    Spawn(context_.get_executor(), std::move(task), [this](std::exception_ptr error) {
      ++ends_;
      error_ = error;
    });
  }
  // What its task was to throw, as text.
  std::string Error() const {
    try {
      if (error_) std::rethrow_exception(error_);
    } catch (const std::exception& e) {
      return e.what();
    }
    return {};
  }

  asio::io_context context_{1};
  int ends_ = 0;
  std::exception_ptr error_;
};

Task<void> Add(int& sum, int n) { sum += co_await Number(n); }

TEST_F(TaskTest, GivesItsValueToWhoAwaitsIt) {
  int sum = 0;
  Start(Add(sum, 7));
  EXPECT_EQ(sum, 7);
  EXPECT_EQ(ends_, 1);
  EXPECT_FALSE(error_);
}

Task<void> Fetch(int& n) {
  const std::unique_ptr<int> value = co_await OnHeap(8);
  n = *value;
}

TEST_F(TaskTest, ValuesMayBeMoveOnly) {
  int n = 0;
  Start(Fetch(n));
  EXPECT_EQ(n, 8);
}

TEST_F(TaskTest, BeginsWhenItIsAwaitedAndNotBefore) {
  int sum = 0;
  {
    Task<void> never = Add(sum, 7);
    EXPECT_FALSE(never.await_ready());
  }
  EXPECT_EQ(sum, 0);
}

Task<void> AwaitReady(int& n, bool& done) {
  Task<std::unique_ptr<int>> value = std::make_unique<int>(3);
  EXPECT_TRUE(value.await_ready());
  n = *co_await std::move(value);
  Task<void> ready;
  EXPECT_TRUE(ready.await_ready());
  co_await std::move(ready);
  done = true;
}

TEST_F(TaskTest, AReadyValueNeedsNoCoroutine) {
  int n = 0;
  bool done = false;
  Start(AwaitReady(n, done));
  EXPECT_EQ(n, 3);
  EXPECT_TRUE(done);
}

Task<void> CatchFromBelow(std::string& caught) {
  try {
    co_await Passing();
  } catch (const std::runtime_error& e) {
    caught = e.what();
  }
}

TEST_F(TaskTest, ExceptionsPassThroughTheTasksBetween) {
  std::string caught;
  Start(CatchFromBelow(caught));
  EXPECT_EQ(caught, "no");
  EXPECT_EQ(ends_, 1);
  EXPECT_FALSE(error_);
}

Task<void> FailBelow() { co_await Passing(); }

TEST_F(TaskTest, SpawnTellsDoneWhatNobodyCaught) {
  Start(FailBelow());
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(Error(), "no");
}

Task<void> AwaitMany(int n, uint64_t& sum, StackSeen& stack) {
  for (int i = 0; i < n; ++i) sum += static_cast<uint64_t>(co_await NumberSeen(1, stack));
}

TEST_F(TaskTest, AwaitingAMillionTasksThatEndAtOnceTakesNoStack) {
  uint64_t sum = 0;
  StackSeen stack;
  Start(AwaitMany(1'000'000, sum, stack));
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(sum, 1'000'000u);
  EXPECT_LT(stack.size(), 4096u);
}

Task<void> Nest(int depth, StackSeen& stack, std::coroutine_handle<>& where) {
  stack.Look();
  if (depth > 0)
    co_await Nest(depth - 1, stack, where);
  else
    co_await Parked{where};
  stack.Look();
}

TEST_F(TaskTest, TasksWithinTasksTakeNoStackGoingInOrComingOut) {
  StackSeen in_and_out;
  std::coroutine_handle<> innermost;
  Start(Nest(100'000, in_and_out, innermost));
  EXPECT_LT(in_and_out.size(), 4096u);
  ASSERT_TRUE(innermost);
  EXPECT_EQ(ends_, 0);
  in_and_out = {};
  Resume(innermost);
  EXPECT_EQ(ends_, 1);
  EXPECT_LT(in_and_out.size(), 4096u);
}

TEST_F(TaskTest, SpawnBeginsAtOnceAndCallsDoneOnceAtTheEnd) {
  std::coroutine_handle<> where;
  Start(Park(where));
  ASSERT_TRUE(where);
  EXPECT_EQ(ends_, 0);
  context_.poll();
  EXPECT_EQ(ends_, 0);
  Resume(where);
  EXPECT_EQ(ends_, 1);
  context_.restart();
  context_.poll();
  EXPECT_EQ(ends_, 1);
}

Task<void> SpawnWithin(Executor executor, std::vector<std::string>& log, std::coroutine_handle<>& where) {
  log.push_back("outer begins");
  int sum = 0;
  Spawn(executor, Add(sum, 2), [&log](std::exception_ptr) { log.push_back("inner ended"); });
  log.push_back("outer goes on");
  Spawn(executor, Park(where), [&log](std::exception_ptr) { log.push_back("parked ended"); });
  log.push_back("outer awaits");
  sum += co_await Number(3);
  log.push_back("outer has " + std::to_string(sum));
}

TEST_F(TaskTest, ATaskMaySpawnOthers) {
  std::vector<std::string> log;
  std::coroutine_handle<> where;
  Start(SpawnWithin(context_.get_executor(), log, where));
  EXPECT_EQ(ends_, 1);
  Resume(where);
  EXPECT_EQ(log, (std::vector<std::string>{"outer begins", "inner ended", "outer goes on", "outer awaits",
                                           "outer has 5", "parked ended"}));
}

Task<void> ParkWith(Flagging, std::coroutine_handle<>& where) { co_await Park(where); }

Task<void> ParkDeep(Flagging flagging, bool& local_gone, std::coroutine_handle<>& where) {
  const Flagging local(local_gone);
  co_await ParkWith(std::move(flagging), where);
}

TEST(SpawnedTasksTest, DestroyingTheContextFreesTheFramesThatWait) {
  bool argument_gone = false, local_gone = false, done_gone = false;
  bool ended = false;
  std::coroutine_handle<> where, other;
  {
    asio::io_context context(1);
    Spawn(context.get_executor(), ParkDeep(Flagging(argument_gone), local_gone, where),
          [&ended, flagging = Flagging(done_gone)](std::exception_ptr) { ended = true; });
    Spawn(context.get_executor(), Park(other), [&ended](std::exception_ptr) { ended = true; });
    ASSERT_TRUE(where);
    EXPECT_FALSE(argument_gone || local_gone || done_gone);
  }
  EXPECT_TRUE(argument_gone);
  EXPECT_TRUE(local_gone);
  EXPECT_TRUE(done_gone);
  EXPECT_FALSE(ended);
}

TEST(SpawnedTasksTest, ATaskThatEndsFreesItsFramesAtOnce) {
  asio::io_context context(1);
  bool argument_gone = false, local_gone = false;
  std::coroutine_handle<> where;
  Spawn(context.get_executor(), ParkDeep(Flagging(argument_gone), local_gone, where), [](std::exception_ptr) {});
  EXPECT_FALSE(argument_gone);
  Resume(where);
  EXPECT_TRUE(argument_gone);
  EXPECT_TRUE(local_gone);
}

Task<void> SayAndYield(Executor executor, char name, std::string& log) {
  for (char n = '1'; n <= '3'; ++n) {
    log += {name, n, ' '};
    co_await Yield(executor);
  }
}

TEST_F(TaskTest, YieldGoesToTheEndOfTheQueue) {
  std::string log;
  Start(SayAndYield(context_.get_executor(), 'a', log));
  asio::post(context_, [&log] { log += "posted "; });
  Start(SayAndYield(context_.get_executor(), 'b', log));
  EXPECT_EQ(log, "a1 b1 ");
  context_.run();
  EXPECT_EQ(log, "a1 b1 a2 posted b2 a3 b3 ");
  EXPECT_EQ(ends_, 2);
}

}  // namespace
}  // namespace fetchd::server
