#include "net/driven_loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/timer_queue.h"
#include "gtest/gtest.h"
#include "net/cancel_scope.h"
#include "net/socket.h"

namespace fetchd::server {
namespace {

using Direction = Socket::Direction;

// A loop with a further source: a number of events to come. It notes its sleeps, and tells another thread of them.
class NotingLoop final : public DrivenLoop {
 public:
  using DrivenLoop::DrivenLoop;

  // Of the loop's thread.
  size_t events_to_come_ = 0;
  size_t events_seen_ = 0;
  size_t most_at_once_ = 0;
  int sleeps_begun_ = 0;
  int sleeps_ended_ = 0;
  // What else to do at the beginning of each sleep.
  std::function<void()> on_sleep_ = [] {};
  // Released at the beginning of each sleep, on whichever thread it is awaited.
  std::counting_semaphore<> about_to_sleep_{0};

 private:
  size_t PollMore() override {
    EXPECT_EQ(sleeps_begun_, sleeps_ended_);
    EXPECT_TRUE(Reactor::Of(io_).is_fresh());
    const size_t events = std::min(events_to_come_, kAtOnce);
    events_to_come_ -= events;
    events_seen_ += events;
    most_at_once_ = std::max(most_at_once_, events);
    return events;
  }
  void BeforeSleep() override {
    EXPECT_EQ(sleeps_begun_, sleeps_ended_);
    EXPECT_EQ(events_to_come_, 0u);
    ++sleeps_begun_;
    on_sleep_();
    about_to_sleep_.release();
  }
  void AfterSleep() override {
    ++sleeps_ended_;
    EXPECT_EQ(sleeps_begun_, sleeps_ended_);
  }
};

class DrivenLoopTest : public ::testing::Test {
 protected:
  DrivenLoopTest() {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_.data()), 0);
    error_code error;
    near_ = Socket::Watch(Reactor::Of(io_), fds_[0], error);
    EXPECT_FALSE(error) << error.message();
  }
  ~DrivenLoopTest() override { ::close(fds_[1]); }

  // Lets the loop run out of work.
  void LetGo() {
    work_.reset();
    near_.reset();
  }

  // Sends back each byte until the peer's end.
  static Task<void> Echo(DrivenLoopTest& test) {
    for (;;) {
      co_await test.near_->Wait(Direction::kRead, test.scope_);
      char byte;
      const ssize_t n = ::recv(test.near_->fd(), &byte, 1, MSG_DONTWAIT);
      if (n == 0) co_return;
      if (n < 0) {
        test.near_->Exhausted(Direction::kRead);
        continue;
      }
      EXPECT_EQ(::send(test.near_->fd(), &byte, 1, MSG_NOSIGNAL), 1);
    }
  }

  TimerQueue timers_;
  CancelScope scope_{SystemClock(), timers_, kNever, FailureCode::kInternal};
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<Executor>> work_{io_.get_executor()};
  // The second one is the blocking far end.
  std::array<int, 2> fds_;
  std::unique_ptr<Socket> near_;
  NotingLoop loop_{io_, 2};
};

TEST(DrivenLoop, EachLoopLessLeavesACoreMoreToTheOthers) {
  const unsigned cores = std::thread::hardware_concurrency();
  EXPECT_EQ(DrivenLoop::CoresFor(1), std::max(1U, cores));
  EXPECT_EQ(DrivenLoop::CoresFor(static_cast<int>(cores)), 1U) << "none to spare: no spin";
  EXPECT_EQ(DrivenLoop::CoresFor(64 + static_cast<int>(cores)), 1U);
}

TEST_F(DrivenLoopTest, RunsWhatOtherThreadsPostInTheirOrder) {
  constexpr int kPosts = 1000;
  int ran = 0;
  std::thread poster([&] {
    for (int i = 0; i < kPosts; ++i) asio::post(io_, [&ran, i] { EXPECT_EQ(ran++, i); });
    asio::post(io_, [this] { LetGo(); });
  });
  loop_.Run();
  poster.join();
  EXPECT_EQ(ran, kPosts);
}

TEST_F(DrivenLoopTest, RunsWhatHandlersPost) {
  int left = 1000;
  std::function<void()> again = [&] {
    if (--left > 0)
      asio::post(io_, again);
    else
      LetGo();
  };
  asio::post(io_, again);
  loop_.Run();
  EXPECT_EQ(left, 0);
}

TEST_F(DrivenLoopTest, ReturnsWhenAnotherThreadStopsTheContext) {
  std::thread stopper([&] {
    loop_.about_to_sleep_.acquire();
    io_.stop();
  });
  loop_.Run();
  stopper.join();
  EXPECT_EQ(loop_.sleeps_begun_, loop_.sleeps_ended_);
}

TEST_F(DrivenLoopTest, ReturnsWhenAHandlerStopsTheContextThoughMoreIsToDo) {
  bool ran_on = false;
  asio::post(io_, [&] {
    io_.stop();
    asio::post(io_, [&] { ran_on = true; });
  });
  loop_.Run();
  EXPECT_FALSE(ran_on);
}

TEST_F(DrivenLoopTest, ReturnsWhenOutOfWork) {
  LetGo();
  bool ran = false;
  asio::post(io_, [&] { ran = true; });
  loop_.Run();
  EXPECT_TRUE(ran);
}

TEST_F(DrivenLoopTest, ASocketThatClosesInASleepLetsTheLoopRunOutOfWork) {
  std::thread closer([&] {
    loop_.about_to_sleep_.acquire();
    asio::post(io_, [this] { LetGo(); });
  });
  loop_.Run();
  closer.join();
  EXPECT_EQ(near_, nullptr);
}

TEST_F(DrivenLoopTest, ServesSocketsWhetherItSleepsOrLooks) {
  constexpr int kRounds = 200;
  SpawnedTasks::Of(io_.get_executor()).Spawn(Echo(*this), [this](std::exception_ptr error) {
    EXPECT_FALSE(error);
    LetGo();
  });
  std::thread peer([&] {
    const int far = fds_[1];
    for (int i = 0; i < kRounds; ++i) {
      // Some when it has gone to sleep, the others as they come.
      if (i % 10 == 0) loop_.about_to_sleep_.acquire();
      const char sent = static_cast<char>('a' + i % 26);
      char got = 0;
      EXPECT_EQ(::send(far, &sent, 1, MSG_NOSIGNAL), 1);
      EXPECT_EQ(::recv(far, &got, 1, 0), 1);
      EXPECT_EQ(got, sent);
    }
    ::shutdown(far, SHUT_WR);
  });
  loop_.Run();
  peer.join();
  EXPECT_EQ(near_, nullptr);
}

TEST_F(DrivenLoopTest, AFurtherSourceIsEmptiedBeforeItSleeps) {
  loop_.events_to_come_ = 1000;
  // NotingLoop sees to it that nothing is left to come.
  loop_.on_sleep_ = [&, more = true]() mutable {
    if (std::exchange(more, false))
      asio::post(io_, [&] { loop_.events_to_come_ = 500; });
    else if (loop_.events_seen_ == 1500)
      asio::post(io_, [this] { LetGo(); });
  };
  loop_.Run();
  EXPECT_EQ(loop_.events_seen_, 1500u);
  EXPECT_EQ(loop_.most_at_once_, 32u);
}

TEST_F(DrivenLoopTest, ASourceWithoutEndDoesNotKeepHandlersWaiting) {
  loop_.events_to_come_ = SIZE_MAX;
  int left = 100;
  std::thread poster([&] {
    for (int i = 0; i < 100; ++i)
      asio::post(io_, [&] {
        if (--left > 0) return;
        LetGo();
      });
  });
  loop_.Run();
  poster.join();
  EXPECT_EQ(left, 0);
  EXPECT_EQ(loop_.sleeps_begun_, 0);
}

TEST_F(DrivenLoopTest, HandlersWithoutEndDoNotKeepTheSourceWaiting) {
  loop_.events_to_come_ = 1000;
  std::function<void()> again = [&] {
    if (loop_.events_seen_ < 1000)
      asio::post(io_, again);
    else
      LetGo();
  };
  asio::post(io_, again);
  loop_.Run();
  EXPECT_EQ(loop_.events_seen_, 1000u);
  EXPECT_EQ(loop_.sleeps_begun_, 0);
}

TEST_F(DrivenLoopTest, TheNewsOfSocketsIsNotFreshAfterASleep) {
  // NotingLoop sees to it that it is while awake.
  loop_.on_sleep_ = [&] {
    asio::post(io_, [&] {
      EXPECT_FALSE(Reactor::Of(io_).is_fresh());
      LetGo();
    });
  };
  loop_.Run();
  EXPECT_EQ(loop_.sleeps_begun_, 1);
}

TEST_F(DrivenLoopTest, EachSleepBeginsAndEndsOnce) {
  constexpr int kSleeps = 20;
  int woken = 0;
  std::thread waker([&] {
    for (int i = 0; i < kSleeps; ++i) {
      loop_.about_to_sleep_.acquire();
      asio::post(io_, [&] {
        ++woken;
        if (woken == kSleeps) LetGo();
      });
    }
  });
  loop_.Run();
  waker.join();
  EXPECT_EQ(woken, kSleeps);
  EXPECT_GE(loop_.sleeps_begun_, kSleeps);
  EXPECT_EQ(loop_.sleeps_begun_, loop_.sleeps_ended_);
}

}  // namespace
}  // namespace fetchd::server
