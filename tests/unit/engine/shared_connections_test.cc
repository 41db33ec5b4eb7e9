// ConnectionPool with origins that speak HTTP/2.
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/connection_pool.h"
#include "model/proxy.h"
#include "support/h2_origin.h"
#include "support/loop.h"
#include "support/memory_sink.h"
#include "support/scripted_connector.h"

namespace fetchd::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class SharedConnectionsTest : public testing::Test {
 protected:
  struct Fetch final : HeadJudge {
    Fetch(SharedConnectionsTest& test, std::string_view url)
        : scope(test.loop_.clock(), test.loop_.timers(), kNever, FailureCode::kTotalTimeout),
          sink(test.loop_.executor()) {
      spec.url = *Url::Parse(url);
      origin = std::make_unique<OriginRef>(test.origins_, test.origins_.Get(spec.url.origin()));
    }
    ResponseSink& OnHead(const ResponseHead&) override { return sink; }
    bool leased() const { return acquired && acquired->lease; }
    void GiveBack() { acquired->lease = Lease(); }

    FetchSpec spec;
    CancelScope scope;
    MemorySink sink;
    std::unique_ptr<OriginRef> origin;
    std::optional<ConnectionPool::Result> acquired;
    std::optional<ExchangeResult> result;
  };

  SharedConnectionsTest() { connector_.SpeakHttp2(); }

  void Make(PoolOptions options) {
    pool_ = std::make_unique<ConnectionPool>(options, loop_.executor(), loop_.clock(), loop_.timers(), random_,
                                             connector_, origins_, metrics_);
  }
  ConnectionPool& pool() {
    if (pool_ == nullptr) Make({});
    return *pool_;
  }
  Fetch& Begin(HttpVersion version = HttpVersion::kAuto, std::string_view url = "https://a.test/",
               std::shared_ptr<const Proxy> proxy = nullptr) {
    Fetch& fetch = fetches_.emplace_back(*this, url);
    fetch.spec.route.version = version;
    fetch.spec.route.proxy = std::move(proxy);
    const Instant now = loop_.clock().Now();
    loop_.Start(pool().Acquire({.origin = **fetch.origin,
                                .spec = fetch.spec,
                                .now = now,
                                .wait_until = After(now, fetch.spec.timeouts.queue),
                                .scope = fetch.scope}),
                fetch.acquired);
    loop_.Poll();
    return fetch;
  }
  void Begin(size_t n) {
    for (size_t i = 0; i < n; ++i) Begin();
  }
  // The origins answer to what they were sent; each new connection gets one.
  void Settle(uint32_t max_streams = 100) {
    do {
      loop_.Poll();
      while (origins_of_peers_.size() < connector_.peers().size())
        origins_of_peers_.push_back(
            std::make_unique<H2Origin>(connector_.peers()[origins_of_peers_.size()], max_streams));
    } while (PumpAll());
  }
  bool PumpAll() {
    bool any = false;
    for (auto& origin : origins_of_peers_) any = origin->Pump() || any;
    return any;
  }
  size_t leased() const {
    size_t n = 0;
    for (const Fetch& fetch : fetches_) n += fetch.leased() ? 1 : 0;
    return n;
  }
  size_t dialled() const { return connector_.asked().size(); }

  void TearDown() override {
    for (Fetch& fetch : fetches_) {
      if (!fetch.acquired) fetch.scope.Cancel(FailureCode::kCancelled);
      if (fetch.leased()) fetch.GiveBack();
    }
    connector_.Release();
    Settle();
    EXPECT_EQ(metrics_.leases.value(), 0);
    EXPECT_EQ(metrics_.queue_waiting.value(), 0);
    EXPECT_EQ(metrics_.connections_active.value(), 0);
    pool().Close();
    Settle();
    loop_.Advance(seconds(1));
    Settle();
    EXPECT_EQ(metrics_.connections_idle.value(), 0);
    EXPECT_EQ(pool().open(), 0u);
    EXPECT_EQ(pool().to_end(), 0u);
    for (const auto& peer : connector_.peers()) EXPECT_TRUE(peer->closed());
    fetches_.clear();
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
  std::unique_ptr<ConnectionPool> pool_;
  std::deque<Fetch> fetches_;
  std::vector<std::unique_ptr<H2Origin>> origins_of_peers_;
};

TEST_F(SharedConnectionsTest, OneConnectionServesMany) {
  Begin();
  Settle();
  Begin(99);
  Settle();
  EXPECT_EQ(leased(), 100u);
  EXPECT_EQ(dialled(), 1u);
  EXPECT_EQ(metrics_.connections_active.value(), 1);
  EXPECT_TRUE(fetches_[0].acquired->lease.http2());
  EXPECT_FALSE(fetches_[0].acquired->lease.reused());
  EXPECT_TRUE(fetches_[1].acquired->lease.reused());
}

TEST_F(SharedConnectionsTest, RoomOnTheConnectionOfOneProxyIsNoneForAnother) {
  const auto office = std::make_shared<const Proxy>(), abroad = std::make_shared<const Proxy>();
  for (const auto& proxy : {std::shared_ptr<const Proxy>(), office, abroad}) {
    for (int i = 0; i < 3; ++i) Begin(HttpVersion::kAuto, "https://a.test/", proxy);
    Settle();
  }
  EXPECT_EQ(leased(), 9u);
  EXPECT_GE(dialled(), 3u);
}

TEST_F(SharedConnectionsTest, ThoseWhoWaitForADialOfAnotherProxyGetTheirOwn) {
  const auto office = std::make_shared<const Proxy>(), abroad = std::make_shared<const Proxy>();
  connector_.Hold();
  for (const auto& proxy : {office, abroad, std::shared_ptr<const Proxy>()})
    for (int i = 0; i < 20; ++i) Begin(HttpVersion::kAuto, "https://a.test/", proxy);
  connector_.Release();
  Settle();
  EXPECT_EQ(leased(), 60u);
}

TEST_F(SharedConnectionsTest, AnotherOneWhenStreamsRunOut) {
  Begin();
  Settle();
  Begin(100);
  Settle();
  EXPECT_EQ(leased(), 101u);
  EXPECT_EQ(dialled(), 2u);
}

TEST_F(SharedConnectionsTest, ManyAtOnceOpenNoMoreThanTheyNeed) {
  Make({.max_queue = 10'000});
  connector_.Hold();
  Begin(1000);
  // Nobody knows yet what the origin speaks.
  EXPECT_EQ(dialled(), 4u);
  connector_.Release();
  Settle();
  EXPECT_EQ(leased(), 1000u);
  EXPECT_EQ(dialled(), 10u);
}

TEST_F(SharedConnectionsTest, AnOriginOfHttp1GetsAllItsDialsAfterTheFirst) {
  ScriptedConnector http1(loop_.executor());
  pool_ = std::make_unique<ConnectionPool>(PoolOptions{}, loop_.executor(), loop_.clock(), loop_.timers(), random_,
                                           http1, origins_, metrics_);
  http1.Hold();
  Begin(20);
  EXPECT_EQ(http1.asked().size(), 4u);
  http1.Release();
  loop_.Poll();
  EXPECT_EQ(leased(), 20u);
  EXPECT_EQ(http1.asked().size(), 20u);
  EXPECT_FALSE(fetches_[0].acquired->lease.http2());
}

TEST_F(SharedConnectionsTest, MoreThanTheOriginAllowsWaitInOurQueue) {
  Make({.max_per_origin = 1});
  Begin();
  Settle(3);
  Begin(4);
  Settle(3);
  EXPECT_EQ(leased(), 3u);
  EXPECT_EQ(metrics_.queue_waiting.value(), 2);
  fetches_[1].GiveBack();
  loop_.Poll();
  EXPECT_TRUE(fetches_[3].leased());
  EXPECT_FALSE(fetches_[4].acquired);
  // Their time in the queue is limited.
  loop_.Advance(seconds(5));
  ASSERT_TRUE(fetches_[4].acquired);
  EXPECT_EQ(fetches_[4].acquired->failure->code, FailureCode::kQueueTimeout);
}

TEST_F(SharedConnectionsTest, TheOriginMayAllowLessThanIsInFlight) {
  Make({.max_per_origin = 1});
  Begin();
  Settle(10);
  Begin(9);
  EXPECT_EQ(leased(), 10u);
  origins_of_peers_[0]->Settings(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2);
  Settle();
  Fetch& late = Begin();
  for (size_t i = 0; i < 8; ++i) fetches_[i].GiveBack();
  Settle();
  EXPECT_FALSE(late.acquired);
  fetches_[8].GiveBack();
  Settle();
  EXPECT_TRUE(late.leased());
}

TEST_F(SharedConnectionsTest, AGoAwayLeadsToANewConnection) {
  Fetch& first = Begin();
  loop_.Start(first.acquired->lease.Exchange(first.spec, nullptr, first, HttpLimits{}, first.scope), first.result);
  Settle();
  origins_of_peers_[0]->GoAway(1);
  Settle();
  Fetch& second = Begin();
  Settle();
  EXPECT_TRUE(second.leased());
  EXPECT_EQ(dialled(), 2u);
  EXPECT_FALSE(connector_.peers()[0]->closed());
  origins_of_peers_[0]->Respond(1, "200", "x");
  Settle();
  EXPECT_TRUE(first.result && !first.result->failure);
  first.GiveBack();
  Settle();
  EXPECT_TRUE(connector_.peers()[0]->closed());
  EXPECT_EQ(pool().open(), 1u);
}

TEST_F(SharedConnectionsTest, ABrokenConnectionIsForgottenWhenItsLeasesAreBack) {
  Fetch &a = Begin(), &b = Begin();
  Settle();
  a.spec.url = b.spec.url;
  loop_.Start(a.acquired->lease.Exchange(a.spec, nullptr, a, HttpLimits{}, a.scope), a.result);
  Settle();
  connector_.peers()[0]->End(IoResult::Kind::kReset);
  Settle();
  ASSERT_TRUE(a.result);
  EXPECT_EQ(a.result->failure->code, FailureCode::kConnectionTerminated);
  EXPECT_GT(pool().to_end(), 0u);
  a.GiveBack();
  b.GiveBack();
  Settle();
  EXPECT_TRUE(connector_.peers()[0]->closed());
}

TEST_F(SharedConnectionsTest, IdleOnesAreClosedInTime) {
  Begin();
  Settle();
  fetches_[0].GiveBack();
  Settle();
  EXPECT_EQ(metrics_.connections_idle.value(), 1);
  loop_.Advance(seconds(59));
  EXPECT_EQ(pool().open(), 1u);
  loop_.Advance(seconds(1));
  Settle();
  EXPECT_EQ(pool().open(), 0u);
  EXPECT_EQ(origins_of_peers_[0]->goaway(), NGHTTP2_NO_ERROR);
}

TEST_F(SharedConnectionsTest, AnOldOneTakesNobodyMoreButServesOut) {
  Begin();
  Settle();
  loop_.Advance(minutes(10));
  Settle();
  Begin();
  Settle();
  EXPECT_EQ(dialled(), 2u);
  EXPECT_FALSE(connector_.peers()[0]->closed());
  fetches_[0].GiveBack();
  Settle();
  EXPECT_TRUE(connector_.peers()[0]->closed());
}

TEST_F(SharedConnectionsTest, WhoWantsHttp1GetsAConnectionOfItsOwn) {
  Begin();
  Settle();
  Fetch& http1 = Begin(HttpVersion::kHttp1);
  Settle();
  ASSERT_TRUE(http1.leased());
  EXPECT_FALSE(http1.acquired->lease.http2());
  EXPECT_EQ(dialled(), 2u);
  http1.acquired->lease.MarkReusable(loop_.clock().Now());
  http1.GiveBack();
  // It stands idle, and HTTP/2 is asked for.
  Fetch& http2 = Begin(HttpVersion::kHttp2);
  EXPECT_TRUE(http2.acquired->lease.http2());
  EXPECT_EQ(dialled(), 2u);
}

TEST_F(SharedConnectionsTest, WithoutTlsOnlyByPriorKnowledge) {
  Fetch& automatic = Begin(HttpVersion::kAuto, "http://a.test/");
  Fetch& known = Begin(HttpVersion::kHttp2, "http://a.test/");
  Settle();
  EXPECT_FALSE(automatic.acquired->lease.http2());
  EXPECT_TRUE(known.acquired->lease.http2());
}

TEST_F(SharedConnectionsTest, WhatDoesNotSpeakItAfterAllIsAskedByHttp1) {
  Fetch& fetch = Begin();
  loop_.Start(fetch.acquired->lease.Exchange(fetch.spec, nullptr, fetch, HttpLimits{}, fetch.scope), fetch.result);
  connector_.peers()[0]->Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  loop_.Poll();
  ASSERT_TRUE(fetch.result);
  EXPECT_EQ(fetch.result->failure->processed, Processed::kNo);
  fetch.GiveBack();
  Fetch& next = Begin();
  loop_.Poll();
  ASSERT_TRUE(next.leased());
  EXPECT_FALSE(next.acquired->lease.http2());
  origins_of_peers_.push_back(std::make_unique<H2Origin>(std::make_shared<ScriptedPeer>(loop_.executor())));
  origins_of_peers_.push_back(std::make_unique<H2Origin>(std::make_shared<ScriptedPeer>(loop_.executor())));
}

}  // namespace
}  // namespace fetchd::server
