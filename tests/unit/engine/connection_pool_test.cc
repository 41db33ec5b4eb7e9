#include "engine/connection_pool.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "support/loop.h"
#include "support/scripted_connector.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class ConnectionPoolTest : public testing::Test {
 protected:
  // One fetch that acquires a connection.
  struct Fetch {
    Fetch(ConnectionPoolTest& test, std::string_view url)
        : scope(test.loop_.clock(), test.loop_.timers(), kNever, FailureCode::kTotalTimeout) {
      spec.url = *Url::Parse(url);
      origin = std::make_unique<OriginRef>(test.origins_, test.origins_.Get(spec.url.origin()));
    }
    bool leased() const { return result && result->lease; }
    bool failed() const { return result && result->failure.has_value(); }
    const Failure& failure() const { return *result->failure; }
    void GiveBack() {
      result->lease.MarkReusable(scope.Now());
      result->lease = Lease();
    }
    void Close() { result->lease = Lease(); }

    FetchSpec spec;
    CancelScope scope;
    std::unique_ptr<OriginRef> origin;
    std::optional<ConnectionPool::Result> result;
  };

  void Make(PoolOptions options) {
    options_ = options;
    pool_ = std::make_unique<ConnectionPool>(options, loop_.executor(), loop_.clock(), loop_.timers(), random_,
                                             connector_, origins_, metrics_);
  }
  ConnectionPool& pool() {
    if (pool_ == nullptr) Make({});
    return *pool_;
  }
  void Start(Fetch& fetch, bool fresh = false) {
    const Instant now = loop_.clock().Now();
    loop_.Start(pool().Acquire({.origin = **fetch.origin,
                                .spec = fetch.spec,
                                .now = now,
                                .wait_until = After(now, fetch.spec.timeouts.queue),
                                .fresh = fresh,
                                .scope = fetch.scope}),
                fetch.result);
    loop_.Poll();
  }
  std::unique_ptr<Fetch> Begin(std::string_view url = "http://a.test/", bool fresh = false) {
    auto fetch = std::make_unique<Fetch>(*this, url);
    Start(*fetch, fresh);
    return fetch;
  }
  size_t dialled() const { return connector_.asked().size(); }

  void TearDown() override {
    // Whatever the test did, the books are even.
    EXPECT_EQ(metrics_.leases.value(), 0);
    EXPECT_EQ(metrics_.queue_waiting.value(), 0);
    EXPECT_EQ(metrics_.connections_active.value(), 0);
    connector_.Release();
    loop_.Poll();
    pool().Close();
    loop_.Poll();
    EXPECT_EQ(metrics_.connections_idle.value(), 0);
    EXPECT_EQ(pool().open(), 0u);
    EXPECT_EQ(pool().to_end(), 0u);
    for (const auto& peer : connector_.peers()) EXPECT_TRUE(peer->closed());
    origins_.DropUnused();
    EXPECT_EQ(metrics_.origins.value(), 0);
    pool_.reset();
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }

  FakeClock clock_;
  Loop loop_{clock_};
  ThreadMetrics metrics_;
  Random random_{1};
  ScriptedConnector connector_{loop_.executor()};
  PolicySource policies_;
  OriginTable origins_{{}, policies_, 128, loop_.clock(), loop_.timers(), random_, metrics_};
  PoolOptions options_;
  std::unique_ptr<ConnectionPool> pool_;
};

TEST_F(ConnectionPoolTest, ACleanConnectionServesTheNextFetch) {
  auto a = Begin();
  ASSERT_TRUE(a->leased());
  EXPECT_FALSE(a->result->lease.reused());
  EXPECT_EQ(metrics_.leases.value(), 1);
  a->GiveBack();
  EXPECT_EQ(metrics_.connections_idle.value(), 1);
  auto b = Begin();
  ASSERT_TRUE(b->leased());
  EXPECT_TRUE(b->result->lease.reused());
  EXPECT_EQ(dialled(), 1u);
  EXPECT_EQ(metrics_.connections_opened.value(), 1);
  EXPECT_EQ(metrics_.connections_reused.value(), 1);
  EXPECT_EQ(b->result->phases.connect, std::nullopt);
  b->Close();
}

TEST_F(ConnectionPoolTest, ALeaseThatIsNotProvedCleanIsClosed) {
  auto a = Begin();
  a->Close();
  EXPECT_TRUE(connector_.peers()[0]->closed());
  EXPECT_EQ(pool().open(), 0u);
}

TEST_F(ConnectionPoolTest, NewestIdleFirstAndOnlyIfAlive) {
  auto a = Begin(), b = Begin(), c = Begin();
  a->GiveBack();
  b->GiveBack();
  c->GiveBack();
  connector_.peers()[2]->SetAlive(false);
  auto d = Begin();
  EXPECT_TRUE(d->result->lease.reused());
  EXPECT_TRUE(connector_.peers()[2]->closed());
  connector_.peers()[0]->SetAlive(false);
  d->GiveBack();
  auto e = Begin(), f = Begin();
  EXPECT_TRUE(e->result->lease.reused());
  EXPECT_FALSE(f->result->lease.reused());
  EXPECT_TRUE(connector_.peers()[0]->closed());
  EXPECT_EQ(dialled(), 4u);
  e->Close();
  f->Close();
}

TEST_F(ConnectionPoolTest, OriginsDoNotShareConnections) {
  auto a = Begin("http://a.test/");
  a->GiveBack();
  auto b = Begin("http://a.test:81/"), c = Begin("https://a.test/"), d = Begin("http://b.test/");
  EXPECT_EQ(dialled(), 4u);
  for (auto* f : {&b, &c, &d}) (*f)->Close();
}

TEST_F(ConnectionPoolTest, FreshMeansNeverUsed) {
  auto a = Begin();
  a->GiveBack();
  auto b = Begin("http://a.test/", true);
  EXPECT_FALSE(b->result->lease.reused());
  EXPECT_EQ(dialled(), 2u);
  b->Close();
}

TEST_F(ConnectionPoolTest, AFreshOneMakesRoomAmongItsOwnIdleOnes) {
  Make({.max_per_origin = 1});
  auto a = Begin();
  a->GiveBack();
  auto b = Begin("http://a.test/", true);
  ASSERT_TRUE(b->leased());
  EXPECT_FALSE(b->result->lease.reused());
  EXPECT_TRUE(connector_.peers()[0]->closed());
  b->Close();
}

TEST_F(ConnectionPoolTest, WaitersAreServedInTheOrderInWhichTheyCame) {
  Make({.max_per_origin = 2});
  auto a = Begin(), b = Begin(), c = Begin(), d = Begin(), e = Begin();
  EXPECT_TRUE(a->leased() && b->leased());
  EXPECT_EQ(metrics_.queue_waiting.value(), 3);
  b->GiveBack();
  loop_.Poll();
  EXPECT_TRUE(c->leased());
  EXPECT_FALSE(d->leased());
  // A connection that is closed makes room for a dial.
  a->Close();
  loop_.Poll();
  EXPECT_TRUE(d->leased());
  EXPECT_FALSE(d->result->lease.reused());
  EXPECT_FALSE(e->leased());
  c->GiveBack();
  loop_.Poll();
  EXPECT_TRUE(e->leased());
  EXPECT_EQ(dialled(), 3u);
  d->Close();
  e->Close();
}

TEST_F(ConnectionPoolTest, AReturnedConnectionServesWhoeverWaitsForADial) {
  auto a = Begin();
  connector_.Hold();
  auto b = Begin();
  EXPECT_FALSE(b->leased());
  EXPECT_EQ(metrics_.queue_waiting.value(), 0);  // it has a dial
  a->GiveBack();
  loop_.Poll();
  ASSERT_TRUE(b->leased());
  EXPECT_TRUE(b->result->lease.reused());
  EXPECT_EQ(b->result->phases.connect, std::nullopt);
  connector_.Release();
  loop_.Poll();
  // The dialled one went idle, and is new to whoever takes it.
  EXPECT_EQ(metrics_.connections_idle.value(), 1);
  auto c = Begin();
  EXPECT_FALSE(c->result->lease.reused());
  EXPECT_EQ(dialled(), 2u);
  b->Close();
  c->Close();
}

TEST_F(ConnectionPoolTest, AnOrphanedDialServesTheNextWaiter) {
  Make({.max_per_origin = 2});
  auto a = Begin();
  connector_.Hold();
  auto b = Begin(), c = Begin();
  EXPECT_EQ(metrics_.queue_waiting.value(), 1);
  a->GiveBack();
  loop_.Poll();
  EXPECT_TRUE(b->leased());
  connector_.Release();
  loop_.Poll();
  EXPECT_TRUE(c->leased());
  EXPECT_EQ(dialled(), 2u);
  b->Close();
  c->Close();
}

TEST_F(ConnectionPoolTest, AWaiterBehindAFailedDialDialsItself) {
  Make({.max_per_origin = 1});
  connector_.Hold();
  connector_.PlanFailure(FailureCode::kConnectionRefused);
  auto a = Begin(), b = Begin();
  EXPECT_EQ(dialled(), 1u);
  connector_.Release();
  loop_.Poll();
  ASSERT_TRUE(a->failed());
  EXPECT_EQ(a->failure().code, FailureCode::kConnectionRefused);
  EXPECT_EQ(a->failure().processed, Processed::kNo);
  EXPECT_TRUE(b->leased());
  EXPECT_EQ(dialled(), 2u);
  b->Close();
}

TEST_F(ConnectionPoolTest, AFailedOrphanHarmsNobody) {
  Make({.max_per_origin = 2});
  auto a = Begin();
  connector_.Hold();
  connector_.PlanFailure(FailureCode::kConnectionRefused);
  auto b = Begin(), c = Begin();
  a->GiveBack();
  loop_.Poll();
  EXPECT_TRUE(b->leased());
  connector_.Release();
  loop_.Poll();
  ASSERT_TRUE(c->leased());
  EXPECT_EQ(dialled(), 3u);
  b->Close();
  c->Close();
}

TEST_F(ConnectionPoolTest, QueueTimeoutRunsOnlyInTheQueue) {
  Make({.max_per_origin = 1});
  auto a = Begin();
  auto b = Begin();
  b->spec.timeouts.queue = seconds(5);
  loop_.Advance(seconds(5) - milliseconds(1));
  EXPECT_FALSE(b->result.has_value());
  loop_.Advance(milliseconds(1));
  ASSERT_TRUE(b->failed());
  EXPECT_EQ(b->failure().code, FailureCode::kQueueTimeout);
  EXPECT_EQ(b->failure().phase, Phase::kQueue);
  EXPECT_EQ(b->failure().processed, Processed::kNo);
  EXPECT_EQ(b->result->phases.queue, seconds(5));
  a->Close();
  connector_.Hold();
  auto c = Begin();
  loop_.Advance(seconds(6));
  EXPECT_FALSE(c->result.has_value());
  connector_.Release();
  loop_.Poll();
  EXPECT_TRUE(c->leased());
  EXPECT_EQ(c->result->phases.queue, Duration::zero());
  c->Close();
}

TEST_F(ConnectionPoolTest, TheAttemptsTimeBeginsWhereTheQueueEnds) {
  Make({.max_per_origin = 1});
  auto a = Begin();
  EXPECT_EQ(a->scope.deadline(), clock_.Now() + seconds(10));
  auto b = Begin();
  EXPECT_EQ(b->scope.deadline(), kNever);
  loop_.Advance(seconds(2));
  a->GiveBack();
  loop_.Poll();
  ASSERT_TRUE(b->leased());
  EXPECT_EQ(b->scope.deadline(), clock_.Now() + seconds(10));
  EXPECT_EQ(b->result->phases.queue, seconds(2));
  b->Close();
}

TEST_F(ConnectionPoolTest, AFullQueueRefusesAtOnce) {
  Make({.max_per_origin = 1, .max_queue = 2});
  auto a = Begin(), b = Begin(), c = Begin(), d = Begin();
  EXPECT_FALSE(c->result.has_value());
  ASSERT_TRUE(d->failed());
  EXPECT_EQ(d->failure().code, FailureCode::kConnectionLimitReached);
  EXPECT_EQ(d->failure().phase, Phase::kQueue);
  a->GiveBack();
  loop_.Poll();
  b->GiveBack();
  loop_.Poll();
  c->Close();
}

TEST_F(ConnectionPoolTest, CancelledWhileWaitingLeavesTheQueueInOrder) {
  Make({.max_per_origin = 1});
  auto a = Begin(), b = Begin(), c = Begin();
  b->scope.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(b->failed());
  EXPECT_EQ(b->failure().code, FailureCode::kCancelled);
  EXPECT_EQ(metrics_.queue_waiting.value(), 1);
  a->GiveBack();
  loop_.Poll();
  EXPECT_TRUE(c->leased());
  c->Close();
}

TEST_F(ConnectionPoolTest, CancelledWhileDiallingEndsTheDialAndTellsItsPhase) {
  Make({.max_per_origin = 1});
  connector_.Hold();
  auto a = Begin(), b = Begin();
  a->scope.Cancel(FailureCode::kAttemptTimeout);
  loop_.Poll();
  ASSERT_TRUE(a->failed());
  EXPECT_EQ(a->failure().code, FailureCode::kAttemptTimeout);
  EXPECT_EQ(a->failure().phase, Phase::kConnect);
  EXPECT_EQ(pool().to_end(), 1u);  // that of b
  connector_.Release();
  loop_.Poll();
  EXPECT_TRUE(b->leased());
  b->Close();
}

TEST_F(ConnectionPoolTest, ServedAndCancelledAtOnceLosesNothing) {
  Make({.max_per_origin = 1});
  auto a = Begin(), b = Begin();
  a->GiveBack();
  b->scope.Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ASSERT_TRUE(b->result.has_value());
  if (b->leased()) b->GiveBack();
  loop_.Poll();
  auto c = Begin();
  EXPECT_TRUE(c->leased());
  EXPECT_EQ(dialled(), 1u);
  c->Close();
}

TEST_F(ConnectionPoolTest, IdleConnectionsAreClosedAfterTheIdleTimeout) {
  auto a = Begin(), b = Begin();
  a->GiveBack();
  loop_.Advance(seconds(30));
  b->GiveBack();
  loop_.Advance(seconds(30));
  EXPECT_TRUE(connector_.peers()[0]->closed());
  EXPECT_FALSE(connector_.peers()[1]->closed());
  loop_.Advance(seconds(30));
  EXPECT_TRUE(connector_.peers()[1]->closed());
  EXPECT_EQ(pool().open(), 0u);
}

TEST_F(ConnectionPoolTest, NoExchangeBeginsAfterTheLifetime) {
  Make({.idle_timeout = minutes(60), .max_lifetime = minutes(10)});
  auto a = Begin();
  a->GiveBack();
  loop_.Advance(minutes(9) - seconds(1));
  auto b = Begin();
  EXPECT_TRUE(b->result->lease.reused());
  loop_.Advance(minutes(1) + seconds(1));
  b->GiveBack();
  EXPECT_TRUE(connector_.peers()[0]->closed());
  auto c = Begin();
  c->GiveBack();
  loop_.Advance(minutes(10));
  auto d = Begin();
  EXPECT_FALSE(d->result->lease.reused());
  EXPECT_EQ(dialled(), 3u);
  d->Close();
}

TEST_F(ConnectionPoolTest, ExchangesOnOneConnectionAreCounted) {
  Make({.max_exchanges = 2});
  for (int i = 0; i < 4; ++i) Begin()->GiveBack();
  EXPECT_EQ(dialled(), 2u);
}

TEST_F(ConnectionPoolTest, TheLongestIdleConnectionMakesRoomForAnotherOrigin) {
  Make({.max_total = 2});
  auto a = Begin("http://a.test/"), b = Begin("http://b.test/");
  b->GiveBack();
  a->GiveBack();
  auto c = Begin("http://c.test/");
  ASSERT_TRUE(c->leased());
  EXPECT_TRUE(connector_.peers()[1]->closed());
  EXPECT_FALSE(connector_.peers()[0]->closed());
  EXPECT_EQ(pool().open(), 2u);
  c->Close();
}

TEST_F(ConnectionPoolTest, OriginsThatWaitForRoomAreServedInTurn) {
  Make({.max_total = 1});
  auto a = Begin("http://a.test/"), b = Begin("http://b.test/"), c = Begin("http://c.test/"),
       b2 = Begin("http://b.test/");
  EXPECT_EQ(metrics_.queue_waiting.value(), 3);
  a->GiveBack();  // idle for a moment only
  loop_.Poll();
  ASSERT_TRUE(b->leased());
  EXPECT_FALSE(c->leased());
  b->Close();
  loop_.Poll();
  ASSERT_TRUE(c->leased());
  c->Close();
  loop_.Poll();
  ASSERT_TRUE(b2->leased());
  b2->Close();
}

TEST_F(ConnectionPoolTest, AConnectionToAnAddressThatIsLeftOutServesNobodyAgain) {
  auto a = Begin();
  ASSERT_TRUE(a->leased());
  const IpAddress bad = a->result->lease.peer().address;
  OriginBrain& brain = (**a->origin).brain;
  a->GiveBack();
  // A sibling does well while this one fails.
  const Instant now = loop_.clock().Now();
  for (int i = 0; i < 5; ++i) {
    brain.OnResult(bad, false, now);
    brain.OnResult(IpAddress::V4({203, 0, 113, 9}), true, now);
  }
  ASSERT_TRUE(brain.outliers.Ejected(bad, now));
  EXPECT_EQ(metrics_.outliers_ejected.value(), 1);
  auto b = Begin();
  ASSERT_TRUE(b->leased());
  EXPECT_FALSE(b->result->lease.reused());
  EXPECT_EQ(dialled(), 2u);
  b->Close();
}

TEST_F(ConnectionPoolTest, AfterCloseNothingIsKept) {
  auto a = Begin();
  connector_.Hold();
  auto b = Begin();
  a->result->lease.MarkReusable(loop_.clock().Now());
  pool().Close();
  a->Close();
  EXPECT_TRUE(connector_.peers()[0]->closed());
  connector_.Release();
  loop_.Poll();
  ASSERT_TRUE(b->leased());
  b->GiveBack();
  EXPECT_EQ(pool().open(), 0u);
}

TEST_F(ConnectionPoolTest, ManyFetchesAndCancelsAtRandomLeaveNothingBehind) {
  Make({.max_per_origin = 4, .max_total = 6, .max_queue = 20});
  std::vector<std::unique_ptr<Fetch>> fetches;
  Random chance(7);
  const char* urls[] = {"http://a.test/", "http://b.test/", "http://c.test/"};
  for (int i = 0; i < 3000; ++i) {
    switch (chance() % 8) {
      case 0:
        connector_.Hold();
        break;
      case 1:
        connector_.Release();
        break;
      case 2:
        connector_.PlanFailure(FailureCode::kConnectionRefused);
        break;
      case 3:
        if (!fetches.empty()) fetches[chance() % fetches.size()]->scope.Cancel(FailureCode::kCancelled);
        break;
      case 4:
        loop_.Advance(milliseconds(chance() % 3000));
        break;
      default:
        fetches.push_back(Begin(urls[chance() % 3], chance() % 10 == 0));
    }
    if (chance() % 2 == 0) loop_.Poll();
    std::erase_if(fetches, [&](auto& fetch) {
      if (!fetch->result) return false;
      if (fetch->leased() && chance() % 2 == 0) return false;
      if (fetch->leased() && chance() % 3 != 0) fetch->GiveBack();
      return true;
    });
    ASSERT_LE(pool().open(), 6u);
  }
  connector_.Release();
  while (!fetches.empty()) {
    loop_.Poll();
    size_t before = fetches.size();
    std::erase_if(fetches, [&](auto& fetch) { return fetch->result.has_value(); });
    ASSERT_LT(fetches.size(), before) << "a waiter starves";
  }
}

}  // namespace
}  // namespace fetchd::server
