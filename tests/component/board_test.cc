// The board of a running engine, on loopback.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "fetch/collecting_call.h"
#include "fetch/engine_board.h"
#include "fetch/fetcher.h"
#include "guard/address_guard.h"
#include "guard/url_guard.h"
#include "support/origin_imposter.h"
#include "support/refusing_port.h"
#include "telemetry/log.h"

namespace fetchd::server {
namespace {

using std::chrono::seconds;
using Verdict = UrlCheck::Verdict;

class BoardTest : public testing::Test {
 protected:
  void StartEngine(PolicyRules rules = {}) {
    policies_.Publish(std::make_shared<const PolicyBook>(std::move(rules)));
    EngineOptions options;
    options.threads = 2;
    options.policies = &policies_;
    options.tls.use_system_cas = false;
    options.resolver.servers = {"127.0.0.1:1"};
    auto engine = Engine::Create(options, guard_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    engine_->Start();
    fetcher_ = std::make_unique<Fetcher>(*engine_, url_guard_);
    board_ = std::make_unique<EngineBoard>(*engine_, guard_, log_);
    home_thread_ = std::thread([this] { home_.run(); });
  }
  void TearDown() override {
    engine_->Stop();
    work_.reset();
    home_thread_.join();
  }

  // Fetches once, and waits for the end.
  void Fetch(const std::string& url) {
    FetchSpec spec = Spec(url);
    spec.retry.max_attempts = 1;
    Fetch(std::move(spec));
  }
  Outcome Fetch(FetchSpec spec) {
    class Call final : public CollectingCall {
     public:
      Call(Executor home, std::promise<Outcome>& done) : CollectingCall(std::move(home)), done_(done) {}
      void OnCollected(Collected& collected) override { done_.set_value(std::move(collected.outcome)); }

     private:
      std::promise<Outcome>& done_;
    };
    std::promise<Outcome> done;
    auto call = std::make_shared<Call>(home_.get_executor(), done);
    call->spec = std::move(spec);
    fetcher_->Start(std::move(call));
    return done.get_future().get();
  }
  static FetchSpec Spec(const std::string& url) {
    FetchSpec spec;
    spec.url = *Url::Parse(url);
    spec.deadline = SystemClock().Now() + seconds(30);
    return spec;
  }
  // What `ask(done)` answers, which must come on the home thread.
  template <typename Answer>
  Answer Ask(auto ask) {
    std::promise<Answer> promise;
    ask([&](Answer answer) {
      EXPECT_EQ(std::this_thread::get_id(), home_thread_.get_id());
      promise.set_value(std::move(answer));
    });
    return promise.get_future().get();
  }
  std::vector<OriginSnapshot> List(const OriginFilter& filter = {}) {
    return Ask<std::vector<OriginSnapshot>>(
        [&](auto done) { board_->List(filter, home_.get_executor(), std::move(done)); });
  }
  std::optional<OriginSnapshot> Get(const std::string& url) {
    return Ask<std::optional<OriginSnapshot>>(
        [&](auto done) { board_->Get(Url::Parse(url)->origin(), home_.get_executor(), std::move(done)); });
  }
  UrlCheck Check(FetchSpec spec) {
    return Ask<UrlCheck>([&](auto done) { board_->Check(std::move(spec), home_.get_executor(), std::move(done)); });
  }
  OriginSnapshot Act(OriginAct::Kind kind, const std::string& url, std::optional<Duration> duration = std::nullopt) {
    OriginAct act{.kind = kind, .origin = Url::Parse(url)->origin(), .duration = duration, .caller = "alice"};
    return *Ask<std::optional<OriginSnapshot>>(
        [&](auto done) { board_->Act(std::move(act), home_.get_executor(), std::move(done)); });
  }

  AddressGuard guard_{{.allow = {*Cidr::Parse("127.0.0.0/8")}, .deny = {}, .allow_proxies = {}}};
  UrlGuard url_guard_{{}, guard_};
  PolicySource policies_;
  // Lines come on the home thread's behalf; read after an answer.
  std::string logged_;
  Log log_{{}, SystemClock(), [this](std::string_view line) { logged_ += line; }};
  asio::io_context home_{1};
  std::optional<asio::executor_work_guard<Executor>> work_{home_.get_executor()};
  std::thread home_thread_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<EngineBoard> board_;
};

TEST_F(BoardTest, AFullTraceBeginsWithWhatHolds) {
  PolicyRules rules;
  rules.rules.push_back({.hosts = {"127.0.0.1"}, .origin = {}, .calls = std::vector<CallPolicy>(1)});
  StartEngine(std::move(rules));
  OriginImposter imposter;
  FetchSpec spec = Spec(imposter.Url("/ok"));
  spec.timeouts.attempt = kForever;
  spec.priority = Priority::kBulk;
  EXPECT_EQ(Fetch(spec).trace, nullptr);
  spec.explain = Explain::kFull;
  const Outcome outcome = Fetch(spec);
  ASSERT_NE(outcome.trace, nullptr);
  ASSERT_FALSE(outcome.trace->decisions.empty());
  const DecisionTrace& first = outcome.trace->decisions.front();
  EXPECT_EQ(first.rule, "policy");
  EXPECT_EQ(first.attempt, 0);
  EXPECT_EQ(first.detail,
            "total 30 s, no attempt timeout, queue 5 s, first byte 10 s, 3 attempts, priority bulk, weight 1, "
            "rule 127.0.0.1");
  ASSERT_EQ(outcome.trace->attempts.size(), 1u);
  EXPECT_EQ(outcome.trace->attempts[0].status, 200);
}

TEST_F(BoardTest, ListsTheOriginsOfAllThreadsByName) {
  StartEngine();
  EXPECT_TRUE(List().empty());
  std::vector<std::unique_ptr<OriginImposter>> origins;
  std::vector<std::string> names;
  for (int i = 0; i < 8; ++i) {
    origins.push_back(std::make_unique<OriginImposter>());
    Fetch(origins.back()->Url("/ok"));
    names.push_back("http://127.0.0.1:" + std::to_string(origins.back()->port()));
  }
  std::sort(names.begin(), names.end());
  const std::vector<OriginSnapshot> all = List();
  ASSERT_EQ(all.size(), names.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].name, names[i]);
    EXPECT_EQ(all[i].open, 1u);
    EXPECT_EQ(all[i].idle, 1u);
    EXPECT_EQ(all[i].active, 0u);
    EXPECT_EQ(all[i].counts.results, 1u);
    EXPECT_EQ(all[i].breaker, BreakerState::kClosed);
    EXPECT_EQ(all[i].in_flight, 0);
    EXPECT_EQ(all[i].limit, 128);
  }
  const std::vector<OriginSnapshot> page = List({.host_contains = "0.0", .after = names[2], .limit = 3});
  ASSERT_EQ(page.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(page[i].name, names[3 + i]);
  EXPECT_TRUE(List({.host_contains = "example", .after = ""}).empty());
  EXPECT_EQ(Get(names[0])->name, names[0]);
  EXPECT_FALSE(Get("http://127.0.0.1:1").has_value());
}

TEST_F(BoardTest, TellsOfAnOpenBreakerWhatTheCheckTells) {
  PolicyRules rules;
  rules.origin.breaker.consecutive_failures = 3;
  rules.origin.breaker.open_time = rules.origin.breaker.max_open_time = seconds(600);
  StartEngine(std::move(rules));
  const RefusingPort port;
  const std::string url = "http://127.0.0.1:" + std::to_string(port.port());
  for (int i = 0; i < 2; ++i) Fetch(url);
  EXPECT_EQ(Get(url)->breaker, BreakerState::kClosed);
  EXPECT_EQ(Get(url)->consecutive_failures, 2);
  EXPECT_EQ(Check(Spec(url)).verdict, Verdict::kGo);
  const WallTime before = SystemClock().WallNow();
  Fetch(url);
  const OriginSnapshot origin = *Get(url);
  EXPECT_EQ(origin.breaker, BreakerState::kOpen);
  EXPECT_FALSE(origin.forced);
  ASSERT_TRUE(origin.retry_at.has_value());
  EXPECT_GE(*origin.retry_at, before + seconds(599));
  EXPECT_LE(*origin.retry_at, SystemClock().WallNow() + seconds(601));
  const UrlCheck check = Check(Spec(url));
  EXPECT_EQ(check.verdict, Verdict::kRefused);
  EXPECT_EQ(check.limit, "breaker");
  EXPECT_LE(*check.at - *origin.retry_at, seconds(1));
}

TEST_F(BoardTest, OperatorsOpenCloseAndReset) {
  StartEngine();
  OriginImposter imposter;
  const std::string url = imposter.Url("/ok");
  OriginSnapshot origin = Act(OriginAct::Kind::kOpen, url);
  EXPECT_EQ(origin.breaker, BreakerState::kOpen);
  EXPECT_TRUE(origin.forced);
  EXPECT_EQ(origin.retry_at, std::nullopt);
  Fetch(url);
  EXPECT_EQ(imposter.requests(), 0);
  EXPECT_EQ(Check(Spec(url)).verdict, Verdict::kRefused);
  EXPECT_EQ(Check(Spec(url)).at, std::nullopt);

  origin = Act(OriginAct::Kind::kOpen, url, seconds(60));
  ASSERT_TRUE(origin.retry_at.has_value());
  EXPECT_LE(*origin.retry_at, SystemClock().WallNow() + seconds(60));

  origin = Act(OriginAct::Kind::kClose, url);
  EXPECT_EQ(origin.breaker, BreakerState::kClosed);
  EXPECT_TRUE(origin.forced);
  Fetch(url);
  EXPECT_EQ(imposter.requests(), 1);

  origin = Act(OriginAct::Kind::kReset, url);
  EXPECT_FALSE(origin.forced);
  EXPECT_EQ(origin.counts.results, 0u);
  EXPECT_NE(logged_.find("act=force_open"), std::string::npos) << logged_;
  EXPECT_NE(logged_.find("caller=alice"), std::string::npos) << logged_;
  EXPECT_NE(logged_.find("act=reset"), std::string::npos) << logged_;
}

TEST_F(BoardTest, AFullRateLimitIsAWaitOrARefusalByTheQueueTimeout) {
  PolicyRules rules;
  rules.rules.push_back({.hosts = {"127.0.0.1"}, .origin = {}, .calls = std::vector<CallPolicy>(1)});
  rules.rules[0].origin.rate_limit = {.per_second = 0.1, .burst = 1};
  StartEngine(std::move(rules));
  OriginImposter imposter;
  FetchSpec spec = Spec(imposter.Url("/ok"));
  EXPECT_EQ(Check(spec).verdict, Verdict::kGo);
  Fetch(imposter.Url("/ok"));
  spec.timeouts.queue = seconds(20);
  UrlCheck check = Check(spec);
  EXPECT_EQ(check.verdict, Verdict::kWait);
  EXPECT_EQ(check.limit, "rate_limit");
  EXPECT_TRUE(check.at.has_value());
  spec.timeouts.queue = seconds(2);
  check = Check(spec);
  EXPECT_EQ(check.verdict, Verdict::kRefused);
  EXPECT_EQ(check.origin.rule, "127.0.0.1");
  EXPECT_EQ(check.origin.per_second, 0.1);
  EXPECT_TRUE(check.origin.next_at.has_value());
}

TEST_F(BoardTest, ChecksTheAddressesOfAName) {
  StartEngine();
  UrlCheck check = Check(Spec("http://localhost:1/"));
  ASSERT_EQ(check.addresses.size(), 2u);
  for (const UrlCheck::Address& address : check.addresses) {
    EXPECT_EQ(address.allowed, address.address.ToString() == "127.0.0.1");
    EXPECT_EQ(address.reason.empty(), address.allowed);
  }
  EXPECT_EQ(check.verdict, Verdict::kGo);
  check = Check(Spec("http://10.0.0.1/"));
  ASSERT_EQ(check.addresses.size(), 1u);
  EXPECT_FALSE(check.addresses[0].allowed);
  EXPECT_EQ(check.verdict, Verdict::kUnknown);
  FetchSpec nowhere = Spec("http://nowhere.test/");
  nowhere.timeouts.dns = std::chrono::milliseconds(50);
  check = Check(nowhere);
  EXPECT_TRUE(check.addresses.empty());
  EXPECT_NE(check.dns_error, "");
  EXPECT_EQ(check.verdict, Verdict::kUnknown);
}

TEST(DiffersForWatchersTest, TellsStatesFromWhatMovesAllTheTime) {
  const WallTime time(seconds(1'700'000'000));
  OriginSnapshot one;
  one.hold_until = time;
  OriginSnapshot other = one;
  other.open = other.idle = 5;
  other.in_flight = 3;
  other.budget = 9;
  other.latency_p95 = seconds(1);
  other.next_at = time;
  other.hold_until = time + std::chrono::microseconds(900);
  EXPECT_FALSE(DiffersForWatchers(one, other));
  const auto differs = [&](auto change) {
    OriginSnapshot changed = one;
    change(changed);
    return DiffersForWatchers(one, changed) && DiffersForWatchers(changed, one);
  };
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.breaker = BreakerState::kHalfOpen; }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.forced = true; }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.rule = "*"; }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.limit = 7; }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.per_second = 7; }));
  EXPECT_TRUE(differs([&](OriginSnapshot& o) { o.retry_at = time; }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.hold_until.reset(); }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { *o.hold_until += seconds(1); }));
  EXPECT_TRUE(differs([](OriginSnapshot& o) { o.ejected.emplace_back(); }));
}

}  // namespace
}  // namespace fetchd::server
