// OriginService and AdminService on a whole server, with a board that says what the test wants.
#include "rpc/origin_calls.h"

#include <gmock/gmock.h>

#include <boost/asio/post.hpp>
#include <mutex>
#include <vector>

#include "rpc/origin_writer.h"
#include "server_fixture.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

OriginSnapshot Snapshot(std::string name) {
  OriginSnapshot origin;
  origin.name = std::move(name);
  return origin;
}

// Thread-safe: asked on the server's thread, set by the test's.
class FakeBoard final : public OriginBoard {
 public:
  void List(OriginFilter filter, Executor home, OnList done) override {
    const std::lock_guard lock(mutex_);
    std::vector<OriginSnapshot> found;
    for (const OriginSnapshot& origin : origins_)
      if (origin.name > filter.after && origin.name.find(filter.host_contains) != std::string::npos &&
          found.size() < filter.limit)
        found.push_back(origin);
    asio::post(home, [found = std::move(found), done = std::move(done)]() mutable { done(std::move(found)); });
  }
  void Get(Origin origin, Executor home, OnOrigin done) override {
    const std::lock_guard lock(mutex_);
    std::optional<OriginSnapshot> found;
    for (const OriginSnapshot& known : origins_)
      if (known.name == origin.ToString()) found = known;
    asio::post(home, [found = std::move(found), done = std::move(done)]() mutable { done(std::move(found)); });
  }
  void Check(FetchSpec spec, Executor home, OnCheck done) override {
    UrlCheck check;
    check.origin = Snapshot(spec.url.origin().ToString());
    check.addresses.push_back({.address = IpAddress::V4({192, 0, 2, 7}), .allowed = true, .reason = ""});
    check.addresses.push_back(
        {.address = IpAddress::V4({10, 0, 0, 1}), .allowed = false, .reason = "10.0.0.1 is private"});
    check.verdict = UrlCheck::Verdict::kWait;
    check.limit = "rate_limit";
    check.at = WallTime(std::chrono::seconds(1'700'000'000));
    asio::post(home, [check = std::move(check), done = std::move(done)]() mutable { done(std::move(check)); });
  }
  void Act(OriginAct act, Executor home, OnOrigin done) override {
    const std::lock_guard lock(mutex_);
    auto after = std::make_optional(Snapshot(act.origin.ToString()));
    after->forced = act.kind != OriginAct::Kind::kReset;
    acts_.push_back(std::move(act));
    asio::post(home, [after = std::move(after), done = std::move(done)]() mutable { done(std::move(after)); });
  }

  void Set(std::vector<OriginSnapshot> origins) {
    const std::lock_guard lock(mutex_);
    origins_ = std::move(origins);
  }
  std::vector<OriginAct> acts() {
    const std::lock_guard lock(mutex_);
    return acts_;
  }

 private:
  std::mutex mutex_;
  std::vector<OriginSnapshot> origins_;
  std::vector<OriginAct> acts_;
};

RpcServerOptions With(FakeBoard& board, std::string admin_listen = "") {
  RpcServerOptions options;
  options.origins = &board;
  options.admin_listen = std::move(admin_listen);
  return options;
}

class OriginServiceTest : public ::testing::Test {
 protected:
  FakeBoard board_;
  ServerFixture fixture_{With(board_)};
  std::unique_ptr<v1::OriginService::Stub> stub_ = v1::OriginService::NewStub(fixture_.channel());

  grpc::Status List(const v1::ListOriginsRequest& request, v1::ListOriginsResponse& response) {
    grpc::ClientContext context;
    response.Clear();
    return stub_->ListOrigins(&context, request, &response);
  }
  grpc::Status Check(const v1::CheckUrlRequest& request, v1::CheckUrlResponse& response) {
    grpc::ClientContext context;
    context.AddMetadata("fetchd-caller", "billing");
    return stub_->CheckUrl(&context, request, &response);
  }
};

std::vector<std::string> Names(const auto& origins) {
  std::vector<std::string> names;
  for (const v1::Origin& origin : origins) names.push_back(origin.name());
  return names;
}

TEST_F(OriginServiceTest, ListsPageByPage) {
  v1::ListOriginsRequest request;
  v1::ListOriginsResponse response;
  ASSERT_TRUE(List(request, response).ok());
  EXPECT_EQ(response.origins_size(), 0);
  board_.Set({Snapshot("http://a:80"), Snapshot("http://b:80"), Snapshot("http://c:80")});
  ASSERT_TRUE(List(request, response).ok());
  EXPECT_THAT(Names(response.origins()), ElementsAre("http://a:80", "http://b:80", "http://c:80"));
  EXPECT_EQ(response.next_page_token(), "");
  request.set_page_size(3);
  ASSERT_TRUE(List(request, response).ok());
  EXPECT_EQ(response.next_page_token(), "") << "the page is full, and there is no other";
  request.set_page_size(2);
  ASSERT_TRUE(List(request, response).ok());
  EXPECT_THAT(Names(response.origins()), ElementsAre("http://a:80", "http://b:80"));
  request.set_page_token(response.next_page_token());
  ASSERT_TRUE(List(request, response).ok());
  EXPECT_THAT(Names(response.origins()), ElementsAre("http://c:80"));
  EXPECT_EQ(response.next_page_token(), "");
  request.Clear();
  request.set_host_contains("b");
  ASSERT_TRUE(List(request, response).ok());
  EXPECT_THAT(Names(response.origins()), ElementsAre("http://b:80"));
}

TEST_F(OriginServiceTest, GetsOneByName) {
  board_.Set({Snapshot("https://a.test:443")});
  for (const char* name : {"https://a.test:443", "https://a.test", "https://A.test/"}) {
    v1::GetOriginRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    v1::GetOriginResponse response;
    ASSERT_TRUE(stub_->GetOrigin(&context, request, &response).ok()) << name;
    EXPECT_EQ(response.origin().name(), "https://a.test:443");
  }
  for (const auto& [name, code] : {std::pair("https://b.test", grpc::StatusCode::NOT_FOUND),
                                   {"http://a.test", grpc::StatusCode::NOT_FOUND},
                                   {"a.test", grpc::StatusCode::INVALID_ARGUMENT},
                                   {"", grpc::StatusCode::INVALID_ARGUMENT},
                                   {"https://a.test/path", grpc::StatusCode::INVALID_ARGUMENT},
                                   {"ftp://a.test", grpc::StatusCode::INVALID_ARGUMENT}}) {
    v1::GetOriginRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    v1::GetOriginResponse response;
    EXPECT_EQ(stub_->GetOrigin(&context, request, &response).error_code(), code) << name;
  }
}

TEST_F(OriginServiceTest, ChecksAUrl) {
  v1::CheckUrlRequest request;
  request.set_url("https://api.test/things");
  v1::CheckUrlResponse response;
  ASSERT_TRUE(Check(request, response).ok());
  EXPECT_TRUE(response.allowed());
  EXPECT_EQ(response.reason(), "");
  EXPECT_EQ(response.caller(), "billing");
  EXPECT_EQ(response.weight(), 1U);
  EXPECT_EQ(response.timeouts().total().seconds(), 30);
  EXPECT_EQ(response.retry().max_attempts(), 3U);
  EXPECT_EQ(response.retry().jitter(), v1::RetryPolicy::JITTER_FULL);
  EXPECT_THAT(response.retry().retry_statuses(), ElementsAre(408, 425, 429, 500, 502, 503, 504));
  EXPECT_FALSE(response.hedge().enabled());
  EXPECT_EQ(response.priority(), v1::PRIORITY_NORMAL);
  ASSERT_EQ(response.addresses_size(), 2);
  EXPECT_EQ(response.addresses(0).address(), "192.0.2.7");
  EXPECT_TRUE(response.addresses(0).allowed());
  EXPECT_EQ(response.addresses(1).reason(), "10.0.0.1 is private");
  EXPECT_EQ(response.verdict(), v1::CheckUrlResponse::VERDICT_WAIT);
  EXPECT_EQ(response.limit(), "rate_limit");
  EXPECT_EQ(response.at().seconds(), 1'700'000'000);
  EXPECT_EQ(response.origin().name(), "https://api.test:443");
  EXPECT_EQ(fixture_.origin().started, 0) << "nothing is fetched";
  fixture_.AwaitIdle();
}

TEST_F(OriginServiceTest, AForbiddenUrlIsAnAnswerAndAMalformedOneIsNot) {
  v1::CheckUrlRequest request;
  v1::CheckUrlResponse response;
  request.set_url("http://10.0.0.1/");
  ASSERT_TRUE(Check(request, response).ok());
  EXPECT_FALSE(response.allowed());
  EXPECT_THAT(response.reason(), HasSubstr("10.0.0.1 is a private address"));
  EXPECT_EQ(response.verdict(), v1::CheckUrlResponse::VERDICT_UNSPECIFIED);
  EXPECT_FALSE(response.has_origin());
  request.set_url("http:/nothing");
  grpc::Status status = Check(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FirstField(status), "url");
  request.set_url("http://a.test/");
  request.set_profile("none-such");
  status = Check(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FirstField(status), "profile");
}

TEST_F(OriginServiceTest, WatchersGetAllOriginsThenChanges) {
  board_.Set({Snapshot("http://a:80"), Snapshot("http://b:80")});
  v1::WatchOriginsRequest request;
  request.mutable_min_interval()->set_nanos(1);
  grpc::ClientContext context;
  const auto reader = stub_->WatchOrigins(&context, request);
  v1::WatchOriginsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_THAT(Names(response.origins()), ElementsAre("http://a:80", "http://b:80"));
  EXPECT_TRUE(response.snapshot_complete());

  // What moves all the time is no change; a breaker is one.
  OriginSnapshot busy = Snapshot("http://a:80");
  busy.open = 7;
  busy.budget = 3;
  OriginSnapshot ill = Snapshot("http://b:80");
  ill.breaker = BreakerState::kOpen;
  board_.Set({busy, ill});
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_THAT(Names(response.origins()), ElementsAre("http://b:80"));
  EXPECT_EQ(response.origins(0).breaker().state(), v1::OriginBreaker::STATE_OPEN);
  EXPECT_FALSE(response.snapshot_complete());

  board_.Set({ill});
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.origins_size(), 0);
  EXPECT_THAT(response.forgotten(), ElementsAre("http://a:80"));
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(OriginServiceTest, AWatchBeginsWithAMessageAlsoIfThereIsNoOrigin) {
  grpc::ClientContext context;
  const auto reader = stub_->WatchOrigins(&context, {});
  v1::WatchOriginsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_TRUE(response.snapshot_complete());
  context.TryCancel();
}

TEST_F(OriginServiceTest, AWatchOfVeryManyOriginsComesInSeveralMessages) {
  std::vector<OriginSnapshot> many;
  for (int i = 0; i < 1001; ++i) many.push_back(Snapshot("http://h:" + std::to_string(10'000 + i)));
  board_.Set(many);
  grpc::ClientContext context;
  const auto reader = stub_->WatchOrigins(&context, {});
  std::vector<int> sizes;
  for (v1::WatchOriginsResponse response; !response.snapshot_complete();) {
    ASSERT_TRUE(reader->Read(&response));
    sizes.push_back(response.origins_size());
  }
  EXPECT_THAT(sizes, ElementsAre(500, 500, 1));
  context.TryCancel();
}

TEST_F(OriginServiceTest, AWatchWithANegativeIntervalIsRefused) {
  v1::WatchOriginsRequest request;
  request.mutable_min_interval()->set_seconds(-1);
  grpc::ClientContext context;
  const auto reader = stub_->WatchOrigins(&context, request);
  v1::WatchOriginsResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FirstField(status), "min_interval");
}

TEST_F(OriginServiceTest, ADrainEndsWatches) {
  grpc::ClientContext context;
  v1::WatchOriginsRequest request;
  request.mutable_min_interval()->set_seconds(3600);
  const auto reader = stub_->WatchOrigins(&context, request);
  v1::WatchOriginsResponse response;
  ASSERT_TRUE(reader->Read(&response));
  fixture_.server().Drain(SystemClock().Now() + std::chrono::seconds(5));
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
}

TEST_F(OriginServiceTest, TheAdminServiceIsNotThereWithoutAListener) {
  grpc::ClientContext context;
  v1::ResetOriginResponse response;
  const grpc::Status status =
      v1::AdminService::NewStub(fixture_.channel())->ResetOrigin(&context, v1::ResetOriginRequest(), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(fixture_.server().admin_port(), 0);
}

class AdminServiceTest : public ::testing::Test {
 protected:
  static std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }

  FakeBoard board_;
  ServerFixture fixture_{With(board_, "127.0.0.1:0")};
  std::unique_ptr<v1::AdminService::Stub> stub_ =
      v1::AdminService::NewStub(ChannelTo("127.0.0.1:" + std::to_string(fixture_.server().admin_port())));
};

TEST_F(AdminServiceTest, ActsOnOriginsForWhoeverIsNamed) {
  {
    grpc::ClientContext context;
    context.AddMetadata("fetchd-caller", "alice");
    v1::ForceOpenRequest request;
    request.set_name("https://a.test");
    request.mutable_duration()->set_seconds(60);
    v1::ForceOpenResponse response;
    const grpc::Status status = stub_->ForceOpen(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.origin().name(), "https://a.test:443");
    EXPECT_TRUE(response.origin().breaker().forced());
  }
  {
    grpc::ClientContext context;
    v1::ForceOpenRequest request;
    request.set_name("https://a.test");
    v1::ForceOpenResponse response;
    ASSERT_TRUE(stub_->ForceOpen(&context, request, &response).ok());
  }
  {
    grpc::ClientContext context;
    v1::ForceCloseRequest request;
    request.set_name("https://a.test");
    v1::ForceCloseResponse response;
    ASSERT_TRUE(stub_->ForceClose(&context, request, &response).ok());
  }
  {
    grpc::ClientContext context;
    v1::ResetOriginRequest request;
    request.set_name("https://a.test");
    v1::ResetOriginResponse response;
    ASSERT_TRUE(stub_->ResetOrigin(&context, request, &response).ok());
    EXPECT_FALSE(response.origin().breaker().forced());
  }
  const std::vector<OriginAct> acts = board_.acts();
  ASSERT_EQ(acts.size(), 4U);
  EXPECT_EQ(acts[0].kind, OriginAct::Kind::kOpen);
  EXPECT_EQ(acts[0].caller, "alice");
  EXPECT_EQ(acts[0].duration, std::chrono::seconds(60));
  EXPECT_EQ(acts[1].duration, std::nullopt);
  EXPECT_EQ(acts[2].kind, OriginAct::Kind::kClose);
  EXPECT_EQ(acts[3].kind, OriginAct::Kind::kReset);
}

TEST_F(AdminServiceTest, RefusesBadRequests) {
  for (const int64_t seconds : {-1, 0}) {
    grpc::ClientContext context;
    v1::ForceOpenRequest request;
    request.set_name("https://a.test");
    request.mutable_duration()->set_seconds(seconds);
    v1::ForceOpenResponse response;
    EXPECT_EQ(FirstField(stub_->ForceOpen(&context, request, &response)), "duration") << seconds;
  }
  grpc::ClientContext context;
  v1::ForceCloseRequest request;
  request.set_name("a.test");
  v1::ForceCloseResponse response;
  EXPECT_EQ(FirstField(stub_->ForceClose(&context, request, &response)), "name");
  EXPECT_TRUE(board_.acts().empty());
}

TEST_F(AdminServiceTest, CallersOfTheOtherListenerMayNot) {
  grpc::ClientContext context;
  v1::ResetOriginRequest request;
  request.set_name("https://a.test");
  v1::ResetOriginResponse response;
  const grpc::Status status = v1::AdminService::NewStub(fixture_.channel())->ResetOrigin(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(board_.acts().empty());
}

TEST(WriteOriginTest, HasEveryPart) {
  OriginSnapshot origin = Snapshot("https://a.test:443");
  const WallTime time(std::chrono::seconds(1'700'000'000));
  origin.rule = "*.test";
  origin.open = 5;
  origin.idle = 2;
  origin.active = 3;
  origin.waiting_for_connection = 4;
  origin.breaker = BreakerState::kHalfOpen;
  origin.forced = true;
  origin.retry_at = time;
  origin.consecutive_failures = 9;
  origin.counts = {.results = 20, .failures = 5, .slow = 0};
  origin.trials_in_flight = 2;
  origin.per_second = 50;
  origin.burst = 3;
  origin.next_at = time;
  origin.limit = 100;
  origin.in_flight = 10;
  origin.adaptive = true;
  origin.queued = {1, 2, 3};
  origin.callers = 4;
  origin.budget = 1.5;
  origin.retries_in_flight = 1;
  origin.hold_until = time;
  origin.ejected.push_back({.address = IpAddress::V4({192, 0, 2, 1}), .until = time});
  origin.latency_p95 = std::chrono::milliseconds(20);
  v1::Origin out;
  WriteOrigin(origin, out);
  EXPECT_EQ(out.ShortDebugString(),
            "name: \"https://a.test:443\" rule: \"*.test\" pool { open: 5 idle: 2 active: 3 waiting: 4 } "
            "breaker { state: STATE_HALF_OPEN forced: true retry_at { seconds: 1700000000 } consecutive_failures: 9 "
            "failure_rate: 0.25 results: 20 trials_in_flight: 2 } "
            "rate_limit { per_second: 50 burst: 3 next_at { seconds: 1700000000 } } "
            "concurrency { limit: 100 in_flight: 10 adaptive: true } "
            "queue { interactive: 1 normal: 2 bulk: 3 callers: 4 } "
            "retry_budget { available: 1.5 in_flight: 1 } hold_until { seconds: 1700000000 } "
            "ejected { address: \"192.0.2.1\" until { seconds: 1700000000 } } latency_p95 { nanos: 20000000 }");
}

TEST(WriteCheckTest, ANameThatDoesNotResolveIsAllowedAndOneWithOnlyForbiddenAddressesIsNot) {
  UrlCheck check;
  check.dns_error = "no such name";
  v1::CheckUrlResponse out;
  WriteCheck(check, out);
  EXPECT_TRUE(out.allowed());
  EXPECT_EQ(out.dns_error(), "no such name");
  check.dns_error = "";
  check.addresses.push_back({.address = IpAddress::V4({10, 0, 0, 1}), .allowed = false, .reason = "private"});
  out.Clear();
  WriteCheck(check, out);
  EXPECT_FALSE(out.allowed());
  EXPECT_EQ(out.reason(), "private");
}

}  // namespace
}  // namespace fetchd::server
