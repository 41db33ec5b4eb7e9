// A whole RpcServer on a fake origin, and a channel to it.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "fake_origin.h"
#include "fetch/resume_token.h"
#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "rpc/server.h"

namespace fetchd::server {

// gRPC is never shut down: with a client's connection that may take it 10 s.
inline const bool kGrpcStays = (grpc_init(), true);

// Real time, but civil time is ahead: the server thinks that deadlines strike earlier than the client does, so that a
// test of deadlines cannot lose a race.
class AheadClock final : public Clock {
 public:
  explicit AheadClock(Duration ahead) : ahead_(ahead) {}
  Instant Now() const override { return SystemClock().Now(); }
  WallTime WallNow() const override { return SystemClock().WallNow() + ahead_; }

 private:
  const Duration ahead_;
};

// `owner_elsewhere`: fetches run on a thread of their own instead of the server's. `ahead`: see AheadClock.
class ServerFixture {
 public:
  explicit ServerFixture(RpcServerOptions options = {}, bool owner_elsewhere = false, Duration ahead = {})
      : clock_(ahead), origin_(owner_elsewhere ? owner_ : home_) {
    options.listen = {"127.0.0.1:0"};
    options.drain_pause = Duration::zero();
    if (owner_elsewhere) owner_thread_ = std::thread([this] { owner_.run(); });
    auto server = RpcServer::Start(
        std::move(options), origin_, tokens_, home_, [] {}, buffered_, clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->ports()[0]),
                                         grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::FetchService::NewStub(channel_);
  }
  ~ServerFixture() {
    server_.reset();
    EXPECT_EQ(origin_.in_flight, 0);
    EXPECT_EQ(buffered(), 0);
    work_.reset();
    if (owner_thread_.joinable()) owner_thread_.join();
  }

  v1::FetchService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }
  FakeOrigin& origin() { return origin_; }
  RpcServer& server() { return *server_; }
  int64_t buffered() const { return buffered_.value(); }

  // Returns when nothing is in progress any more.
  void AwaitIdle() {
    while (server_->admission().in_flight() > 0 || origin_.in_flight > 0) std::this_thread::yield();
  }

 private:
  const AheadClock clock_;
  asio::io_context home_{1};
  asio::io_context owner_{1};
  asio::executor_work_guard<Executor> work_{owner_.get_executor()};
  std::thread owner_thread_;
  FakeOrigin origin_;
  SharedCell buffered_;
  ResumeTokens tokens_{ResumeTokenOptions{}};
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::FetchService::Stub> stub_;
};

inline std::string UrlOf(const std::string& path) { return "http://origin.test" + path; }

inline v1::FetchRequest Request(const std::string& path) {
  v1::FetchRequest request;
  request.set_url(UrlOf(path));
  return request;
}

template <typename Detail>
std::optional<Detail> FindDetail(const grpc::Status& status) {
  google::rpc::Status parsed;
  EXPECT_TRUE(parsed.ParseFromString(status.error_details()));
  for (const auto& any : parsed.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

inline std::string ReasonOf(const grpc::Status& status) {
  const auto info = FindDetail<google::rpc::ErrorInfo>(status);
  return info ? info->reason() : "";
}

inline std::string FirstField(const grpc::Status& status) {
  const auto bad = FindDetail<google::rpc::BadRequest>(status);
  return bad && bad->field_violations_size() > 0 ? bad->field_violations(0).field() : "";
}

}  // namespace fetchd::server
