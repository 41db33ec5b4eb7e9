#include "rpc/server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <utility>

#include "base/text.h"
#include "rpc/batch_call.h"
#include "rpc/origin_calls.h"
#include "rpc/paged_call.h"
#include "rpc/stream_call.h"
#include "rpc/unary_call.h"

namespace fetchd::server {
namespace {

// Calls of each method that wait to be called, so that a burst is taken without a round trip through the queue for
// each.
constexpr int kUnaryArmed = 64;
constexpr int kOthersArmed = 8;
// How often a drain looks whether calls are left.
constexpr std::chrono::milliseconds kDrainStep{5};
// What remains of a drain's time is at least this for calls that are being refused or are writing their last message.
constexpr std::chrono::milliseconds kLastMessages{200};
// At most this once no call is left: callers that look at their connections close them by then. One without a call may
// not look for long (gRPC's C core polls such a connection now and then, in Python not at all).
constexpr std::chrono::seconds kIdleConnections{1};

int Millis(Duration d) { return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(d).count()); }

std::shared_ptr<grpc::ServerCredentials> Credentials(const std::optional<RpcTlsOptions>& tls) {
  if (!tls) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(tls->client_ca.empty()
                                                ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls->client_ca;
  options.pem_key_cert_pairs.push_back({tls->private_key, tls->certificate_chain});
  return grpc::SslServerCredentials(options);
}

bool ServesOperators(const RpcServerOptions& options) {
  return options.origins != nullptr && !options.admin_listen.empty();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(RpcServerOptions options, FetchStarter& starter,
                                                            const ResumeTokens& tokens, asio::io_context& home,
                                                            absl::AnyInvocable<void()> adopt,
                                                            SharedCell& buffered_bytes, const Clock& clock) {
  std::unique_ptr<RpcServer> server(new RpcServer(std::move(options), starter, tokens, home, buffered_bytes, clock));
  const absl::Status listening = server->Listen();
  if (!listening.ok()) return listening;
  asio::post(home, [s = server.get()] { s->ArmCalls(); });
  server->thread_ = std::thread([s = server.get(), adopt = std::move(adopt)]() mutable {
    adopt();
    s->loop_->Run();
  });
  return server;
}

RpcServer::RpcServer(RpcServerOptions options, FetchStarter& starter, const ResumeTokens& tokens,
                     asio::io_context& home, SharedCell& buffered_bytes, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      home_(home),
      admission_(options_.admission),
      reader_(options_.reader, starter, ids_) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(options_.max_receive_message_bytes);
  // A second fetchd on the same port shall fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Replies are never compressed, and nobody asks channelz: neither shall cost every call something.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options_.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options_.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, Millis(options_.min_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Millis(options_.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, Millis(options_.max_connection_age_grace));
  ports_.resize(options_.listen.size());
  for (size_t i = 0; i < ports_.size(); ++i)
    builder.AddListeningPort(options_.listen[i], Credentials(options_.tls), &ports_[i]);
  cq_ = builder.AddCompletionQueue();
  desk_.emplace(RpcDesk{.service = fetch_service_,
                        .cq = *cq_,
                        .starter = starter,
                        .admission = admission_,
                        .reader = reader_,
                        .tokens = tokens,
                        .clock = clock,
                        .home = home.get_executor(),
                        .buffered_bytes = buffered_bytes,
                        .services = {v1::FetchService::service_full_name()},
                        .calls = nullptr,
                        .on_no_calls = nullptr});
  health_.emplace(*desk_);
  builder.RegisterService(&fetch_service_);
  builder.RegisterService(&health_->service);
  builder.RegisterService(&reflection_service_);
  if (options_.origins != nullptr) {
    origins_ = std::make_unique<OriginDesk>(*desk_, *options_.origins);
    desk_->services.push_back(v1::OriginService::service_full_name());
    builder.RegisterService(&origins_->origins);
  }
  if (ServesOperators(options_)) {
    desk_->services.push_back(v1::AdminService::service_full_name());
    builder.RegisterService(&origins_->admin);
    builder.AddListeningPort(options_.admin_listen, grpc::experimental::LocalServerCredentials(LOCAL_TCP),
                             &admin_port_);
  }
  server_ = builder.BuildAndStart();
}

absl::Status RpcServer::Listen() {
  if (server_ != nullptr) {
    loop_.emplace(home_, *cq_, DrivenLoop::CoresFor(options_.loops));
    return absl::OkStatus();
  }
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i] > 0) continue;
    return absl::InvalidArgumentError(
        Concat("cannot listen on ", options_.listen[i],
               options_.tls ? ": the address is taken or not ours, or certificate and key do not fit together"
                            : ": the address is taken or not ours"));
  }
  if (ServesOperators(options_) && admin_port_ <= 0)
    return absl::InvalidArgumentError(
        Concat("cannot listen on ", options_.admin_listen, " for operators: the address is taken or not ours"));
  return absl::InvalidArgumentError("the gRPC server does not start");
}

void RpcServer::ArmCalls() {
  // Each call owns itself.
  for (int i = 0; i < kUnaryArmed; ++i) new UnaryCall(*desk_);
  for (int i = 0; i < kOthersArmed; ++i) {
    new BatchCall(*desk_);
    new StreamCall(*desk_);
    new PagedCall(*desk_);
    new HealthCheckCall(*health_);
    new HealthWatchCall(*health_);
    new ReflectionCall(*desk_, reflection_service_);
  }
  if (origins_ != nullptr) ArmOriginCalls(*origins_, ServesOperators(options_));
}

void RpcServer::RunAtHome(absl::AnyInvocable<void()> fn) {
  std::promise<void> done;
  asio::post(home_, [&done, fn = std::move(fn)]() mutable {
    fn();
    done.set_value();
  });
  done.get_future().wait();
}

void RpcServer::Drain(Instant deadline) {
  drained_ = true;
  RunAtHome([this] {
    health_->serving = false;
    for (RpcCall* call = desk_->calls; call != nullptr; call = call->next()) call->OnHealth();
  });
  std::this_thread::sleep_until(std::min(After(clock_.Now(), options_.drain_pause), deadline));
  admission_.StartDraining();
  RunAtHome([this] {
    for (RpcCall* call = desk_->calls; call != nullptr; call = call->next()) call->OnDrain();
  });
  // Calls are refused in the meantime, with a reason that Shutdown would not give them.
  // At least for a moment: Shutdown answers a call that is on its way with CANCELLED, which callers do not try again.
  const Instant refuse_until = After(clock_.Now(), kLastMessages);
  while ((admission_.in_flight() > 0 || clock_.Now() < refuse_until) && clock_.Now() + kLastMessages < deadline)
    std::this_thread::sleep_for(kDrainStep);
  const Duration left = std::clamp<Duration>(deadline - clock_.Now(), kLastMessages, kIdleConnections);
  server_->Shutdown(std::chrono::system_clock::now() + left);
  // The calls that waited to be called come back now; only when all are gone may the queue be shut down.
  std::promise<void> gone;
  asio::post(home_, [this, &gone] {
    if (desk_->calls == nullptr) return gone.set_value();
    desk_->on_no_calls = [this, &gone] {
      desk_->on_no_calls = nullptr;
      gone.set_value();
    };
  });
  gone.get_future().wait();
  cq_->Shutdown();
}

RpcServer::~RpcServer() {
  if (server_ == nullptr) return;
  if (!drained_) Drain(clock_.Now());
  thread_.join();
}

}  // namespace fetchd::server
