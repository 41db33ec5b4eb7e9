// The whole engine on loopback: fetcher, layers, pool, exchange, sockets.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fetch/fetcher.h"
#include "guard/address_guard.h"
#include "guard/url_guard.h"
#include "support/memory_sink.h"
#include "support/origin_imposter.h"
#include "support/refusing_port.h"
#include "telemetry/fetch_observer.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A fetch whose end another thread can wait for.
class TestCall final : public FetchCall {
 public:
  explicit TestCall(const std::string& url) {
    spec.url = *Url::Parse(url);
    spec.deadline = SystemClock().Now() + seconds(30);
  }
  void OnStart(Executor owner) override {
    sink_.emplace(owner);
    if (streamed) {
      body_.emplace(owner, std::nullopt);
      body_->Feed(*streamed);
      body_->End();
    }
  }
  RequestBody* request_body() override { return body_ ? &*body_ : nullptr; }
  void OnHead(ResponseHead head) override { sink_->OnHead(std::move(head)); }
  std::span<char> Prepare(size_t want) override { return sink_->Prepare(want); }
  void Commit(size_t n) override { sink_->Commit(n); }
  Event& Writable() override { return sink_->Writable(); }
  void OnDone(Outcome outcome) override {
    std::lock_guard lock(mutex_);
    ++ends_;
    outcome_ = std::move(outcome);
    done_.notify_all();
  }

  Outcome& Wait() {
    std::unique_lock lock(mutex_);
    if (!done_.wait_for(lock, seconds(20), [this] { return ends_ > 0; })) ADD_FAILURE() << "the fetch does not end";
    return outcome_;
  }
  int ends() {
    std::lock_guard lock(mutex_);
    return ends_;
  }
  // After Wait.
  const MemorySink& sink() const { return *sink_; }

  std::optional<std::string> streamed;

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  int ends_ = 0;
  Outcome outcome_;
  std::optional<MemorySink> sink_;
  std::optional<MemoryRequestBody> body_;
};

size_t OpenFiles() {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
  return n;
}

EngineOptions WithPool(PoolOptions pool, int threads = 1) {
  EngineOptions options;
  options.pool = pool;
  options.threads = threads;
  return options;
}

class EngineTest : public testing::Test, public FetchObserver {
 protected:
  void StartEngine(EngineOptions options = {}) {
    options.tls.use_system_cas = false;
    auto engine = Engine::Create(options, guard_);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    engine_->Start();
    fetcher_ = std::make_unique<Fetcher>(*engine_, url_guard_, this);
  }
  void OnFetch(const FetchRecord& record) override {
    EXPECT_FALSE(record.url.empty());
    ++observed_;
  }
  std::shared_ptr<TestCall> Start(const std::string& url) {
    auto call = std::make_shared<TestCall>(url);
    fetcher_->Start(call);
    return call;
  }
  int64_t Sum(Cell ThreadMetrics::*cell) {
    int64_t sum = 0;
    for (size_t i = 0; i < engine_->size(); ++i) sum += (engine_->thread(i).metrics().*cell).value();
    return sum;
  }
  void TearDown() override {
    engine_->Stop();
    EXPECT_EQ(Sum(&ThreadMetrics::fetches_in_flight), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::leases), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::queue_waiting), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::connections_active), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::connections_idle), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::origins), 0);
  }

  AddressGuard guard_{{.allow = {*Cidr::Parse("127.0.0.0/8")}, .deny = {}, .allow_proxies = {}}};
  UrlGuard url_guard_{{}, guard_};
  OriginImposter origin_;
  std::atomic<int> observed_{0};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Fetcher> fetcher_;
};

TEST_F(EngineTest, FetchesAndReusesTheConnection) {
  StartEngine();
  for (int i = 0; i < 20; ++i) {
    auto call = Start(origin_.Url(i % 2 == 0 ? "/bytes/1000" : "/chunked/5000"));
    Outcome& o = call->Wait();
    ASSERT_TRUE(o.ok()) << o.failure->detail;
    EXPECT_EQ(o.attempts, 1);
    EXPECT_EQ(call->sink().head().status, 200);
    EXPECT_EQ(call->sink().body().size(), i % 2 == 0 ? 1000u : 5000u);
  }
  EXPECT_EQ(origin_.connections(), 1);
  EXPECT_EQ(Sum(&ThreadMetrics::connections_reused), 19);
  engine_->Stop();
  EXPECT_EQ(observed_, 20);
}

TEST_F(EngineTest, LargeBodiesBothWays) {
  StartEngine();
  auto down = Start(origin_.Url("/bytes/20000000"));
  auto up = std::make_shared<TestCall>(origin_.Url("/echo"));
  up->spec.method = "POST";
  up->spec.body = std::string(5000000, 'u');
  fetcher_->Start(up);
  auto stream = std::make_shared<TestCall>(origin_.Url("/echo"));
  stream->spec.method = "POST";
  stream->streamed = std::string(3000000, 's');
  fetcher_->Start(stream);
  EXPECT_TRUE(down->Wait().ok());
  EXPECT_EQ(down->sink().body().size(), 20000000u);
  EXPECT_TRUE(up->Wait().ok());
  EXPECT_EQ(up->sink().body(), up->spec.body);
  EXPECT_TRUE(stream->Wait().ok());
  EXPECT_EQ(stream->sink().body(), *stream->streamed);
}

TEST_F(EngineTest, FlakyOriginsAreRetried) {
  StartEngine();
  auto call = std::make_shared<TestCall>(origin_.Url("/flaky/2"));
  call->spec.retry.initial_backoff = milliseconds(1);
  fetcher_->Start(call);
  Outcome& o = call->Wait();
  EXPECT_TRUE(o.ok());
  EXPECT_EQ(o.attempts, 3);
  EXPECT_EQ(call->sink().body(), "fine");
}

TEST_F(EngineTest, ConnectionsThatDieInThePoolAreNotSeenByCallers) {
  StartEngine();
  for (int i = 0; i < 30; ++i) {
    auto call = Start(origin_.Url(i % 3 == 0 ? "/hangup" : "/ok"));
    Outcome& o = call->Wait();
    ASSERT_TRUE(o.ok()) << o.failure->detail;
  }
}

TEST_F(EngineTest, TimeoutsHaveTheirCodeAndPhase) {
  StartEngine(WithPool({.max_per_origin = 1}));
  struct Row {
    std::string path;
    Duration Timeouts::*which;
    FailureCode code;
    Phase phase;
  };
  for (const Row& row : {Row{"/stall", &Timeouts::first_byte, FailureCode::kHttpResponseTimeout, Phase::kWait},
                         Row{"/stall", &Timeouts::attempt, FailureCode::kAttemptTimeout, Phase::kWait},
                         Row{"/half", &Timeouts::between_bytes, FailureCode::kConnectionReadTimeout, Phase::kReceive},
                         Row{"/half", &Timeouts::attempt, FailureCode::kAttemptTimeout, Phase::kReceive}}) {
    auto call = std::make_shared<TestCall>(origin_.Url(row.path));
    call->spec.retry.max_attempts = 1;
    call->spec.timeouts.*row.which = milliseconds(30);
    fetcher_->Start(call);
    Outcome& o = call->Wait();
    ASSERT_FALSE(o.ok());
    EXPECT_EQ(o.failure->code, row.code) << ToString(o.failure->code);
    EXPECT_EQ(o.failure->phase, row.phase);
  }
  auto holder = Start(origin_.Url("/stall"));
  while (Sum(&ThreadMetrics::leases) == 0) std::this_thread::yield();
  auto queued = std::make_shared<TestCall>(origin_.Url("/ok"));
  queued->spec.retry.max_attempts = 1;
  queued->spec.timeouts.queue = milliseconds(30);
  fetcher_->Start(queued);
  EXPECT_EQ(queued->Wait().failure->code, FailureCode::kQueueTimeout);
  auto late = std::make_shared<TestCall>(origin_.Url("/ok"));
  late->spec.deadline = SystemClock().Now() + milliseconds(30);
  fetcher_->Start(late);
  EXPECT_EQ(late->Wait().failure->code, FailureCode::kTotalTimeout);
  EXPECT_EQ(late->Wait().failure->phase, Phase::kQueue);
  fetcher_->Cancel(holder);
  EXPECT_EQ(holder->Wait().failure->code, FailureCode::kCancelled);
}

TEST_F(EngineTest, RefusedConnectionsSayThatNothingWasProcessed) {
  StartEngine();
  RefusingPort nobody;
  auto call = std::make_shared<TestCall>("http://127.0.0.1:" + std::to_string(nobody.port()) + "/");
  call->spec.method = "POST";
  call->spec.retry.initial_backoff = milliseconds(1);
  fetcher_->Start(call);
  Outcome& o = call->Wait();
  ASSERT_FALSE(o.ok());
  EXPECT_EQ(o.failure->code, FailureCode::kConnectionRefused);
  EXPECT_EQ(o.failure->processed, Processed::kNo);
  EXPECT_EQ(o.attempts, 3);
}

TEST_F(EngineTest, TheGuardRefusesAtTheDial) {
  AddressGuard strict{{}};
  UrlGuard urls({}, strict);
  EngineOptions options;
  options.tls.use_system_cas = false;
  auto engine = Engine::Create(options, strict);
  ASSERT_TRUE(engine.ok());
  engine_ = *std::move(engine);
  engine_->Start();
  Fetcher fetcher(*engine_, urls);
  EXPECT_FALSE(fetcher.CheckUrl(*Url::Parse(origin_.Url("/ok"))).ok());
  // As if the URL had been a name that resolves to it.
  auto call = std::make_shared<TestCall>(origin_.Url("/ok"));
  fetcher.Start(call);
  Outcome& o = call->Wait();
  ASSERT_FALSE(o.ok());
  EXPECT_EQ(o.failure->code, FailureCode::kDestinationIpProhibited);
  EXPECT_EQ(origin_.connections(), 0);
  engine_->Stop();
}

TEST_F(EngineTest, CancelAtAnyMomentIsAnsweredOnce) {
  StartEngine();
  auto before = std::make_shared<TestCall>(origin_.Url("/ok"));
  fetcher_->Cancel(before);
  fetcher_->Start(before);
  EXPECT_EQ(before->Wait().failure->code, FailureCode::kCancelled);
  auto during = Start(origin_.Url("/stall"));
  while (Sum(&ThreadMetrics::leases) == 0) std::this_thread::yield();
  fetcher_->Cancel(during);
  fetcher_->Cancel(during);
  EXPECT_EQ(during->Wait().failure->code, FailureCode::kCancelled);
  auto after = Start(origin_.Url("/ok"));
  EXPECT_TRUE(after->Wait().ok());
  fetcher_->Cancel(after);
  engine_->Stop();
  for (auto& call : {before, during, after}) EXPECT_EQ(call->ends(), 1);
}

TEST_F(EngineTest, ACallFromTheOwnerThreadStartsAtOnce) {
  StartEngine();
  auto call = std::make_shared<TestCall>(origin_.Url("/ok"));
  asio::post(engine_->OwnerOf(call->spec.url.origin()).io(), [this, call] {
    fetcher_->Start(call);
    fetcher_->Cancel(call);
  });
  EXPECT_EQ(call->Wait().failure->code, FailureCode::kCancelled);
}

TEST_F(EngineTest, StopWaitsForTheFetchesInFlight) {
  StartEngine();
  auto call = Start(origin_.Url("/delay/50"));
  engine_->Stop();
  EXPECT_EQ(call->ends(), 1);
  EXPECT_TRUE(call->Wait().ok());
}

TEST_F(EngineTest, AnExternallyDrivenLoopServesToo) {
  EngineOptions options;
  options.tls.use_system_cas = false;
  auto engine = Engine::Create(options, guard_);
  ASSERT_TRUE(engine.ok());
  engine_ = *std::move(engine);
  engine_->Start(1);
  EngineThread& thread = engine_->thread(0);
  thread.Adopt();
  Fetcher fetcher(*engine_, url_guard_);
  auto call = std::make_shared<TestCall>(origin_.Url("/ok"));
  fetcher.Start(call);
  while (call->ends() == 0) thread.io().run_one();
  EXPECT_TRUE(call->Wait().ok());
  engine_->Stop();
  thread.io().poll();
  EXPECT_EQ(Sum(&ThreadMetrics::connections_idle), 0);
}

TEST_F(EngineTest, StormsOfCancelsLeaveNothingBehind) {
  const size_t files_before = OpenFiles();
  {
    std::vector<std::unique_ptr<OriginImposter>> origins;
    for (int i = 0; i < 4; ++i) origins.push_back(std::make_unique<OriginImposter>());
    StartEngine(WithPool({.max_per_origin = 8, .max_total = 12}, 2));
    const char* paths[] = {"/ok",   "/bytes/100000", "/chunked/20000", "/stall",   "/half",
                           "/drop", "/hangup",       "/close",         "/delay/2", "/flaky/100"};
    Random chance(11);
    std::vector<std::shared_ptr<TestCall>> running;
    int started = 0, cancelled = 0, ok = 0;
    auto reap = [&](size_t most) {
      while (running.size() > most) {
        size_t i = chance() % running.size();
        auto call = running[i];
        if (chance() % 2 == 0 || call->spec.url.target() == "/stall" || call->spec.url.target() == "/half") {
          fetcher_->Cancel(call);
          ++cancelled;
        }
        if (call->Wait().ok()) ++ok;
        EXPECT_EQ(call->ends(), 1);
        running.erase(running.begin() + static_cast<ptrdiff_t>(i));
      }
    };
    for (; started < 1500; ++started) {
      auto call = std::make_shared<TestCall>(origins[chance() % 4]->Url(paths[chance() % 10]));
      call->spec.retry.initial_backoff = milliseconds(1);
      // Those that stall hold the few connections there are.
      call->spec.timeouts.attempt = milliseconds(200);
      call->spec.timeouts.queue = milliseconds(100);
      fetcher_->Start(call);
      running.push_back(call);
      if (chance() % 4 == 0) fetcher_->Cancel(running[chance() % running.size()]);
      if (chance() % 100 == 0) origins[chance() % 4]->DropConnections();
      reap(64);
    }
    reap(0);
    EXPECT_GT(ok, 100);
    EXPECT_GT(cancelled, 100);
    EXPECT_EQ(Sum(&ThreadMetrics::fetches_in_flight), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::leases), 0);
    EXPECT_EQ(Sum(&ThreadMetrics::queue_waiting), 0);
    engine_->Stop();
    EXPECT_EQ(observed_, started);
    fetcher_.reset();
  }
  engine_.reset();
  EXPECT_EQ(OpenFiles(), files_before);
  StartEngine();
}

}  // namespace
}  // namespace fetchd::server
