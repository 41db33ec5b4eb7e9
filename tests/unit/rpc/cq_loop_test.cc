#include "rpc/cq_loop.h"

#include <grpcpp/alarm.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace fetchd::server {
namespace {

gpr_timespec Now() { return gpr_time_0(GPR_CLOCK_MONOTONIC); }

// An event on the queue that counts and deletes itself.
class CountingEvent final : public CqTag {
 public:
  CountingEvent(grpc::CompletionQueue& cq, std::atomic<int>& count) : count_(count) {
    Begun();
    alarm_.Set(&cq, Now(), static_cast<CqTag*>(this));
  }
  void OnEvent(bool ok) override {
    EXPECT_TRUE(ok);
    EXPECT_EQ(std::this_thread::get_id(), loop_thread);
    std::atomic<int>& count = count_;
    delete this;
    ++count;
    count.notify_all();
  }
  static inline std::thread::id loop_thread;

 private:
  std::atomic<int>& count_;
  grpc::Alarm alarm_;
};

void WaitFor(std::atomic<int>& count, int n) {
  for (int now = count; now < n; now = count) count.wait(now);
}

class CqLoopTest : public ::testing::Test {
 protected:
  CqLoopTest() : loop_(io_, cq_, 2) {
    std::promise<std::thread::id> id;
    thread_ = std::thread([this, &id] {
      id.set_value(std::this_thread::get_id());
      loop_.Run();
    });
    CountingEvent::loop_thread = id.get_future().get();
  }
  ~CqLoopTest() override {
    cq_.Shutdown();
    thread_.join();
  }
  void Event() { new CountingEvent(cq_, events_); }
  void Post() {
    asio::post(io_, [this] {
      EXPECT_EQ(std::this_thread::get_id(), CountingEvent::loop_thread);
      ++posts_;
      posts_.notify_all();
    });
  }

  asio::io_context io_{1};
  grpc::CompletionQueue cq_;
  CqLoop loop_;
  std::thread thread_;
  std::atomic<int> events_ = 0, posts_ = 0;
};

TEST_F(CqLoopTest, RunsEachEventAndPostWhenTheyComeOneByOne) {
  // Between two of them the loop has given the queue away, or is about to: both ways are taken.
  for (int i = 1; i <= 300; ++i) {
    Event();
    WaitFor(events_, i);
    Post();
    WaitFor(posts_, i);
  }
}

TEST_F(CqLoopTest, RunsAllOfManyFromManyThreads) {
  constexpr int kThreads = 3;
  constexpr int kEach = 1500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kEach; ++i) {
        Event();
        Post();
        // Sometimes the loop runs dry and sleeps.
        if (i % (97 + t) == 0) WaitFor(events_, i / 2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  WaitFor(events_, kThreads * kEach);
  WaitFor(posts_, kThreads * kEach);
}

TEST_F(CqLoopTest, EventsThatBeginEventsStarveNoPosts) {
  // A chain of events that never lets the queue run empty until a post ends it.
  struct Chain final : CqTag {
    Chain(grpc::CompletionQueue& q, std::atomic<bool>& s) : cq(q), stop(s) { Go(); }
    void Go() {
      alarm = std::make_unique<grpc::Alarm>();
      Begun();
      alarm->Set(&cq, Now(), static_cast<CqTag*>(this));
    }
    void OnEvent(bool) override {
      if (!stop) return Go();
      ended.set_value();
    }
    grpc::CompletionQueue& cq;
    std::atomic<bool>& stop;
    std::unique_ptr<grpc::Alarm> alarm;
    std::promise<void> ended;
  };
  std::atomic<bool> stop = false;
  Chain chain(cq_, stop);
  for (int i = 1; i <= 100; ++i) {
    Post();
    WaitFor(posts_, i);
  }
  asio::post(io_, [&stop] { stop = true; });
  chain.ended.get_future().wait();
}

TEST(CqLoopShutdownTest, EndsUnderLoadWithEveryEventRun) {
  for (int round = 0; round < 20; ++round) {
    asio::io_context io(1);
    grpc::CompletionQueue cq;
    std::atomic<int> events = 0;
    CqLoop loop(io, cq, 2);
    std::thread thread([&loop] {
      CountingEvent::loop_thread = std::this_thread::get_id();
      loop.Run();
    });
    for (int i = 0; i < 50 * round; ++i) new CountingEvent(cq, events);
    // What is on the queue still comes; then the loop ends because nothing else is to be done.
    cq.Shutdown();
    thread.join();
    EXPECT_EQ(events, 50 * round);
  }
}

}  // namespace
}  // namespace fetchd::server
