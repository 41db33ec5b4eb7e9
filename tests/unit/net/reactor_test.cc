#include "net/reactor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "net/socket.h"
#include "support/loop.h"

namespace fetchd::server {
namespace {

using Direction = Socket::Direction;

// A watched socket and the bare one at its other end.
struct Pair {
  explicit Pair(Reactor& reactor) {
    std::array<int, 2> fds;
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    far = fds[1];
    error_code error;
    near = Socket::Watch(reactor, fds[0], error);
    EXPECT_FALSE(error) << error.message();
  }
  Pair(const Pair&) = delete;
  ~Pair() { FarCloses(); }

  void FarSends(std::string_view text) {
    EXPECT_EQ(::send(far, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  void FarCloses() {
    if (far >= 0) ::close(std::exchange(far, -1));
  }
  // Takes at most `size` bytes that are there.
  std::string Receive(size_t size = 64) {
    std::string bytes(size, '\0');
    const ssize_t n = ::recv(near->fd(), bytes.data(), bytes.size(), 0);
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }

  std::unique_ptr<Socket> near;
  int far = -1;
};

// Goes on when `socket` may be read, closed or `scope` has stopped.
Task<void> WaitToRead(Socket& socket, CancelScope& scope) { co_await socket.Wait(Direction::kRead, scope); }
Task<void> WaitToWrite(Socket& socket, CancelScope& scope) { co_await socket.Wait(Direction::kWrite, scope); }

// The reactor of a loop that the test drives by hand: each Round is a look at what has happened so far. What happens
// at one end of a pair of local sockets is known at the other at once.
class DrivenReactorTest : public ::testing::Test {
 protected:
  DrivenReactorTest() : loop_(clock_), reactor_(Reactor::Of(loop_.context())) { reactor_.Drive(); }

  // Returns how many sockets had news.
  size_t Round() {
    size_t count = 0;
    asio::post(loop_.context(), [&] { count = reactor_.Poll(); });
    loop_.Poll();
    return count;
  }

  FakeClock clock_;
  Loop loop_;
  Reactor& reactor_;
};

TEST_F(DrivenReactorTest, NothingCountsAsReadyUntilTheKernelSaysSo) {
  Pair pair(reactor_);
  pair.FarSends("x");
  EXPECT_FALSE(pair.near->ready(Direction::kRead));
  EXPECT_FALSE(pair.near->ready(Direction::kWrite));
  EXPECT_EQ(Round(), 1u);
  EXPECT_TRUE(pair.near->ready(Direction::kRead));
  EXPECT_TRUE(pair.near->ready(Direction::kWrite));
}

TEST_F(DrivenReactorTest, ReadinessIsToldOnceAndAgainWhenMoreComes) {
  Pair pair(reactor_);
  pair.FarSends("a");
  Round();
  pair.near->Exhausted(Direction::kRead);
  EXPECT_FALSE(pair.near->ready(Direction::kRead));
  // Nobody took the byte, yet it is old news.
  EXPECT_EQ(Round(), 0u);
  EXPECT_FALSE(pair.near->ready(Direction::kRead));
  pair.FarSends("b");
  EXPECT_EQ(Round(), 1u);
  EXPECT_TRUE(pair.near->ready(Direction::kRead));
  EXPECT_EQ(pair.Receive(), "ab");
}

TEST_F(DrivenReactorTest, AWaitAfterAShortReadEndsWhenMoreComes) {
  Pair pair(reactor_);
  pair.FarSends("a");
  Round();
  EXPECT_EQ(pair.Receive(), "a");
  pair.near->Exhausted(Direction::kRead);
  bool read = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  Round();
  EXPECT_FALSE(read);
  pair.FarSends("b");
  EXPECT_EQ(Round(), 1u);
  EXPECT_TRUE(read);
  EXPECT_EQ(pair.Receive(), "b");
}

TEST_F(DrivenReactorTest, AWaitForWhatIsReadyEndsAtOnce) {
  Pair pair(reactor_);
  Round();
  bool written = false;
  loop_.Start(WaitToWrite(*pair.near, loop_.scope()), written);
  EXPECT_TRUE(written);
}

TEST_F(DrivenReactorTest, AWaitForRoomEndsWhenThePeerHasTakenEnough) {
  Pair pair(reactor_);
  Round();
  const std::string block(1 << 16, 'x');
  size_t sent = 0;
  for (ssize_t n; (n = ::send(pair.near->fd(), block.data(), block.size(), MSG_NOSIGNAL)) > 0;)
    sent += static_cast<size_t>(n);
  ASSERT_EQ(errno, EAGAIN);
  pair.near->Exhausted(Direction::kWrite);
  bool written = false;
  loop_.Start(WaitToWrite(*pair.near, loop_.scope()), written);
  Round();
  EXPECT_FALSE(written);
  std::string taken(sent, '\0');
  for (size_t at = 0; at < sent;) {
    const ssize_t n = ::recv(pair.far, taken.data() + at, sent - at, 0);
    ASSERT_GT(n, 0);
    at += static_cast<size_t>(n);
  }
  Round();
  EXPECT_TRUE(written);
}

TEST_F(DrivenReactorTest, BothDirectionsGoOnInOneRound) {
  Pair pair(reactor_);
  bool read = false, written = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  loop_.Start(WaitToWrite(*pair.near, loop_.scope()), written);
  pair.FarSends("x");
  Round();
  EXPECT_TRUE(read);
  EXPECT_TRUE(written);
}

TEST_F(DrivenReactorTest, AfterThePeersEndReadsStayReady) {
  Pair pair(reactor_);
  pair.FarSends("last");
  ::shutdown(pair.far, SHUT_WR);
  Round();
  EXPECT_EQ(pair.Receive(), "last");
  pair.near->Exhausted(Direction::kRead);
  EXPECT_TRUE(pair.near->ready(Direction::kRead));
  bool read = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  EXPECT_TRUE(read);
  // The other direction has not ended.
  pair.near->Exhausted(Direction::kWrite);
  EXPECT_FALSE(pair.near->ready(Direction::kWrite));
}

TEST_F(DrivenReactorTest, ABrokenConnectionEndsBothWaits) {
  Pair pair(reactor_);
  Round();
  pair.near->Exhausted(Direction::kWrite);
  bool read = false, written = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  loop_.Start(WaitToWrite(*pair.near, loop_.scope()), written);
  Round();
  EXPECT_FALSE(read || written);
  pair.FarCloses();
  Round();
  EXPECT_TRUE(read);
  EXPECT_TRUE(written);
}

TEST_F(DrivenReactorTest, CloseEndsAWaitFromTheQueueAndForgetsTheSocket) {
  Pair pair(reactor_);
  bool read = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  pair.near->Close();
  pair.near->Close();
  EXPECT_FALSE(pair.near->is_open());
  EXPECT_EQ(pair.near->fd(), -1);
  EXPECT_FALSE(read);
  EXPECT_EQ(Round(), 0u);
  EXPECT_TRUE(read);
  // And no wait begins on a closed socket.
  read = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  EXPECT_TRUE(read);
}

TEST_F(DrivenReactorTest, AStoppedScopeEndsItsWaitAlone) {
  Pair pair(reactor_);
  Round();
  pair.near->Exhausted(Direction::kWrite);
  CancelScope scope(loop_.scope(), clock_.Now() + std::chrono::seconds(1), FailureCode::kConnectionReadTimeout);
  bool read = false, written = false;
  loop_.Start(WaitToRead(*pair.near, scope), read);
  loop_.Start(WaitToWrite(*pair.near, loop_.scope()), written);
  loop_.Advance(std::chrono::seconds(1));
  EXPECT_TRUE(read);
  EXPECT_FALSE(written);
  // A later wait is none of the stopped scope's.
  read = false;
  loop_.Start(WaitToRead(*pair.near, loop_.scope()), read);
  EXPECT_FALSE(read);
  pair.FarSends("x");
  Round();
  EXPECT_TRUE(read);
  pair.near->Close();
  loop_.Poll();
  EXPECT_TRUE(written);
}

TEST_F(DrivenReactorTest, AStopAndBytesAtOnceEndAWaitOnce) {
  Pair pair(reactor_);
  CancelScope scope(loop_.scope(), kNever, FailureCode::kInternal);
  bool read = false;
  loop_.Start(WaitToRead(*pair.near, scope), read);
  pair.FarSends("x");
  asio::post(loop_.context(), [&] {
    scope.Cancel(FailureCode::kCancelled);
    reactor_.Poll();
  });
  loop_.Poll();
  EXPECT_TRUE(read);
}

// Two sockets with news in one round; the coroutine that goes on first does something to the other.
class SameRoundTest : public DrivenReactorTest {
 protected:
  SameRoundTest() { Round(); }

  // `first` hears before `second`: the kernel tells in the order in which things happened.
  size_t RoundFor(Pair& first, Pair& second) {
    first.FarSends("1");
    second.FarSends("2");
    return Round();
  }

  Pair a_{reactor_}, b_{reactor_};
};

Task<void> WaitThenDestroy(Socket& socket, CancelScope& scope, std::unique_ptr<Socket>& victim) {
  co_await socket.Wait(Direction::kRead, scope);
  victim.reset();
}

Task<void> WaitThenClose(Socket& socket, CancelScope& scope, Socket& victim) {
  co_await socket.Wait(Direction::kRead, scope);
  victim.Close();
}

Task<void> WaitThenLook(Socket& socket, CancelScope& scope, Socket& other, bool& other_ready) {
  co_await socket.Wait(Direction::kRead, scope);
  other_ready = other.ready(Direction::kRead);
}

TEST_F(SameRoundTest, TheOtherMayBeDestroyed) {
  bool done = false;
  loop_.Start(WaitThenDestroy(*a_.near, loop_.scope(), b_.near), done);
  EXPECT_EQ(RoundFor(a_, b_), 2u);
  EXPECT_TRUE(done);
  EXPECT_EQ(b_.near, nullptr);
}

TEST_F(SameRoundTest, TheOtherMayBeDestroyedAfterItsTurn) {
  bool done = false;
  loop_.Start(WaitThenDestroy(*a_.near, loop_.scope(), b_.near), done);
  EXPECT_EQ(RoundFor(b_, a_), 2u);
  EXPECT_TRUE(done);
  EXPECT_EQ(b_.near, nullptr);
}

TEST_F(SameRoundTest, ASocketMayBeDestroyedByItsOwnReader) {
  bool done = false;
  loop_.Start(WaitThenDestroy(*a_.near, loop_.scope(), a_.near), done);
  EXPECT_EQ(RoundFor(a_, b_), 2u);
  EXPECT_TRUE(done);
  EXPECT_EQ(a_.near, nullptr);
  EXPECT_TRUE(b_.near->ready(Direction::kRead));
}

TEST_F(SameRoundTest, TheOtherMayBeClosedWhileSomebodyWaitsForIt) {
  bool done = false, woken = false;
  loop_.Start(WaitThenClose(*a_.near, loop_.scope(), *b_.near), done);
  loop_.Start(WaitToRead(*b_.near, loop_.scope()), woken);
  EXPECT_EQ(RoundFor(a_, b_), 2u);
  EXPECT_TRUE(done);
  EXPECT_TRUE(woken);
  EXPECT_FALSE(b_.near->is_open());
}

TEST_F(SameRoundTest, ASocketMayBeClosedByItsReaderWhileItsWriterWaits) {
  // The writer's turn would have come in the same round.
  a_.near->Exhausted(Direction::kWrite);
  bool done = false, written = false;
  loop_.Start(WaitThenClose(*a_.near, loop_.scope(), *a_.near), done);
  loop_.Start(WaitToWrite(*a_.near, loop_.scope()), written);
  a_.FarCloses();
  Round();
  EXPECT_TRUE(done);
  EXPECT_TRUE(written);
}

TEST_F(SameRoundTest, AllHearBeforeAnybodyGoesOn) {
  bool done = false, other_ready = false;
  loop_.Start(WaitThenLook(*a_.near, loop_.scope(), *b_.near, other_ready), done);
  RoundFor(a_, b_);
  EXPECT_TRUE(done);
  EXPECT_TRUE(other_ready);
}

TEST_F(DrivenReactorTest, LooksReadableAsksTheKernelUnlessItsNewsIsFresh) {
  Pair pair(reactor_);
  EXPECT_FALSE(reactor_.is_fresh());
  EXPECT_FALSE(pair.near->LooksReadable());
  Round();
  EXPECT_TRUE(reactor_.is_fresh());
  EXPECT_FALSE(pair.near->LooksReadable());
  // Too late for the last look round.
  pair.FarSends("x");
  EXPECT_FALSE(pair.near->LooksReadable());
  // The thread has slept since.
  reactor_.WakeContext();
  EXPECT_FALSE(reactor_.is_fresh());
  EXPECT_TRUE(pair.near->LooksReadable());
  // Looking takes nothing.
  EXPECT_EQ(pair.Receive(), "x");
  EXPECT_FALSE(pair.near->LooksReadable());
}

TEST_F(DrivenReactorTest, LooksReadableDoesNotTrustReadinessThatIsUsedUp) {
  Pair pair(reactor_);
  pair.FarSends("x");
  Round();
  EXPECT_TRUE(pair.near->LooksReadable());
  EXPECT_EQ(pair.Receive(), "x");
  // Nobody said so, but there is nothing left.
  EXPECT_TRUE(pair.near->ready(Direction::kRead));
  EXPECT_FALSE(pair.near->LooksReadable());
}

TEST_F(DrivenReactorTest, TheEndLooksReadable) {
  Pair fresh(reactor_), unheard(reactor_);
  fresh.FarCloses();
  Round();
  EXPECT_TRUE(fresh.near->LooksReadable());
  reactor_.WakeContext();
  unheard.FarCloses();
  EXPECT_TRUE(unheard.near->LooksReadable());
}

TEST_F(DrivenReactorTest, NewsThatDidNotFitIntoOneRoundIsNotFresh) {
  std::vector<std::unique_ptr<Pair>> pairs;
  for (int i = 0; i < 300; ++i) pairs.push_back(std::make_unique<Pair>(reactor_));
  EXPECT_EQ(Round(), 256u);
  EXPECT_FALSE(reactor_.is_fresh());
  EXPECT_EQ(Round(), 44u);
  EXPECT_TRUE(reactor_.is_fresh());
  for (const auto& pair : pairs) EXPECT_TRUE(pair->near->ready(Direction::kWrite));
}

TEST_F(DrivenReactorTest, WhatCannotBeWatchedIsClosedAndAnError) {
  const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ASSERT_GE(file, 0);
  error_code error;
  EXPECT_EQ(Socket::Watch(reactor_, file, error), nullptr);
  EXPECT_EQ(error.value(), EPERM);
  EXPECT_EQ(::fcntl(file, F_GETFD), -1);
}

// Its own socket.
Task<void> WaitOwning(std::unique_ptr<Socket> socket, CancelScope& scope) {
  co_await socket->Wait(Direction::kRead, scope);
}

TEST_F(DrivenReactorTest, DestroyingTheLoopFreesThoseWhoWaitAndTheirSockets) {
  std::optional<Loop> loop(std::in_place, clock_);
  Pair pair(Reactor::Of(loop->context()));
  const int fd = pair.near->fd();
  bool read = false;
  loop->Start(WaitOwning(std::move(pair.near), loop->scope()), read);
  loop.reset();
  EXPECT_FALSE(read);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

// What keeps an io_context at work. Without a guard, unlike Loop.
class ReactorContextTest : public ::testing::Test {
 protected:
  // Whether the context runs out of work; it would be long over.
  bool RunsOut() {
    context_.restart();
    context_.run_for(std::chrono::seconds(20));
    return context_.stopped();
  }
  // Whether it waits for something.
  bool Waits() {
    context_.restart();
    context_.poll();
    return !context_.stopped();
  }

  asio::io_context context_{1};
  Reactor& reactor_ = Reactor::Of(context_);
};

TEST_F(ReactorContextTest, ASocketKeepsTheContextWaitingUntilItIsClosed) {
  auto first = std::make_unique<Pair>(reactor_), second = std::make_unique<Pair>(reactor_);
  EXPECT_TRUE(Waits());
  first.reset();
  EXPECT_TRUE(Waits());
  second->near->Close();
  EXPECT_TRUE(RunsOut());
}

TEST_F(ReactorContextTest, ANewSocketIsHeardThoughTheLastOneHasJustGone) {
  auto first = std::make_unique<Pair>(reactor_);
  EXPECT_TRUE(Waits());
  first.reset();
  Pair second(reactor_);
  EXPECT_TRUE(Waits());
  EXPECT_TRUE(second.near->ready(Direction::kWrite));
  second.FarSends("x");
  context_.run_one_for(std::chrono::seconds(20));
  EXPECT_TRUE(second.near->ready(Direction::kRead));
  second.near.reset();
  EXPECT_TRUE(RunsOut());
}

TEST_F(ReactorContextTest, ADrivenReactorWaitsWhenAskedAndUntilTheLastSocketIsClosed) {
  reactor_.Drive();
  auto pair = std::make_unique<Pair>(reactor_);
  EXPECT_FALSE(Waits());
  reactor_.WakeContext();
  // The news that a new socket may be written to ends the wait, and is polled there.
  EXPECT_TRUE(RunsOut());
  EXPECT_TRUE(pair->near->ready(Direction::kWrite));
  reactor_.WakeContext();
  reactor_.WakeContext();
  EXPECT_TRUE(Waits());
  pair.reset();
  EXPECT_TRUE(RunsOut());
  // There is nothing to wait for.
  reactor_.WakeContext();
  EXPECT_FALSE(Waits());
}

TEST_F(ReactorContextTest, AWaitCutShortByTheLastSocketBeginsAnewForTheNext) {
  reactor_.Drive();
  auto first = std::make_unique<Pair>(reactor_);
  reactor_.WakeContext();
  first.reset();
  EXPECT_TRUE(RunsOut());
  Pair second(reactor_);
  reactor_.WakeContext();
  EXPECT_TRUE(RunsOut());
  EXPECT_TRUE(second.near->ready(Direction::kWrite));
}

TEST_F(ReactorContextTest, NewsIsNeverFreshWhenNobodyDrives) {
  Pair pair(reactor_);
  EXPECT_TRUE(Waits());
  EXPECT_TRUE(pair.near->ready(Direction::kWrite));
  EXPECT_FALSE(reactor_.is_fresh());
  EXPECT_FALSE(pair.near->LooksReadable());
  pair.FarSends("x");
  EXPECT_TRUE(pair.near->LooksReadable());
}

}  // namespace
}  // namespace fetchd::server
