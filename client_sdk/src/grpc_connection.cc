#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "fetchd/connection.h"
#include "fetchd/retry.h"
#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "fetchd/v1/origin_service.grpc.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "grpc_status.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"

namespace fetchd {
namespace {

// What every call has: a context with deadline and metadata, and the link from the caller's stop token to it.
class Call {
 public:
  Call(const Options& options, const CallOptions& call_options, absl::Duration default_deadline) {
    const absl::Duration deadline = call_options.deadline.value_or(default_deadline);
    if (deadline != absl::InfiniteDuration()) context_.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    if (!options.caller.empty()) context_.AddMetadata("fetchd-caller", options.caller);
    stop_.emplace(call_options.stop, [this] { context_.TryCancel(); });
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext& context() { return context_; }

 private:
  grpc::ClientContext context_;
  std::optional<std::stop_callback<std::function<void()>>> stop_;
};

// A server stream in progress; cancels it when destroyed early.
template <typename Message>
class ServerStream {
 public:
  template <typename Start>
  ServerStream(std::unique_ptr<Call> call, Start start) : call_(std::move(call)), reader_(start(&call_->context())) {}
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;
  ~ServerStream() {
    if (finished_) return;
    call_->context().TryCancel();
    reader_->Finish();
  }

  std::optional<absl::StatusOr<Message>> Next() {
    Message message;
    if (reader_->Read(&message)) return message;
    finished_ = true;
    const grpc::Status status = reader_->Finish();
    if (status.ok()) return std::nullopt;
    return FromGrpc(status);
  }

 private:
  std::unique_ptr<Call> call_;
  std::unique_ptr<grpc::ClientReader<Message>> reader_;
  bool finished_ = false;
};

template <typename Message, typename Start>
StreamRange<Message> MakeRange(std::unique_ptr<Call> call, Start start) {
  auto stream = std::make_unique<ServerStream<Message>>(std::move(call), std::move(start));
  return StreamRange<Message>([stream = std::move(stream)] { return stream->Next(); });
}

class GrpcStreamCall : public StreamCall {
 public:
  GrpcStreamCall(std::unique_ptr<Call> call, v1::FetchService::Stub& stub)
      : call_(std::move(call)), stream_(stub.FetchStream(&call_->context())) {}
  ~GrpcStreamCall() override {
    if (finished_) return;
    call_->context().TryCancel();
    stream_->Finish();
  }

  bool Write(const v1::FetchStreamRequest& message) override { return stream_->Write(message); }
  bool WritesDone() override { return stream_->WritesDone(); }
  bool Read(v1::FetchStreamResponse* message) override { return stream_->Read(message); }
  absl::Status Finish() override {
    finished_ = true;
    return FromGrpc(stream_->Finish());
  }
  void Cancel() override { call_->context().TryCancel(); }

 private:
  std::unique_ptr<Call> call_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FetchStreamRequest, v1::FetchStreamResponse>> stream_;
  bool finished_ = false;
};

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const Options& options) {
  if (!options.tls.has_value()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = options.tls->root_certificates;
  ssl.pem_cert_chain = options.tls->certificate_chain;
  ssl.pem_private_key = options.tls->private_key;
  return grpc::SslCredentials(ssl);
}

std::shared_ptr<grpc::Channel> MakeChannel(const Options& options,
                                           const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                           const RetryOptions& retry) {
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix("fetchd-cpp/" FETCHD_SDK_VERSION);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A fetchd that comes back is found again soon; gRPC's own default waits a second and more.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetServiceConfigJSON(RetryServiceConfig(retry));
  return grpc::CreateCustomChannel(options.endpoint, credentials, arguments);
}

// The serving status in a grpc.health.v1.HealthCheckResponse: enum field 1. Read here, because a proto of our own with
// that name would clash with a copy in the user's program.
std::optional<int> ServingStatus(grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return std::nullopt;
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()),
                                               static_cast<int>(bytes.size()));
  constexpr uint32_t kStatusTag = 1 << 3;
  const uint32_t tag = input.ReadTag();
  if (tag == 0) return 0;
  uint32_t value = 0;
  if (tag != kStatusTag || !input.ReadVarint32(&value)) return std::nullopt;
  return static_cast<int>(value);
}

class GrpcConnection : public Connection {
 public:
  explicit GrpcConnection(const Options& options)
      : options_(options),
        credentials_(MakeCredentials(options)),
        // gRPC's retry policy belongs to a channel and a method, but whether a call may be repeated depends on the
        // request: so there are two channels. They share one TCP connection, for gRPC pools those by address,
        // credentials and arguments, the service config left out.
        repeating_channel_(MakeChannel(options, credentials_, options.retry)),
        once_channel_(MakeChannel(options, credentials_, RetryOptions{.max_attempts = 1})),
        repeating_stub_(repeating_channel_),
        once_stub_(once_channel_),
        origin_stub_(repeating_channel_),
        admin_stub_(repeating_channel_),
        health_stub_(repeating_channel_) {}

  absl::StatusOr<v1::FetchResponse> Fetch(const v1::FetchRequest& request, const CallOptions& options) override {
    Call call(options_, options, options_.fetch_deadline);
    v1::FetchResponse response;
    const grpc::Status status = StubFor(IsIdempotent(request)).Fetch(&call.context(), request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  StreamRange<v1::FetchBatchResponse> FetchBatch(const v1::FetchBatchRequest& request,
                                                 const CallOptions& options) override {
    const bool repeatable = std::all_of(request.requests().begin(), request.requests().end(), IsIdempotent);
    return MakeRange<v1::FetchBatchResponse>(MakeCall(options), [&](grpc::ClientContext* context) {
      return StubFor(repeatable).FetchBatch(context, request);
    });
  }

  StreamRange<v1::FetchPagedResponse> FetchPaged(const v1::FetchPagedRequest& request,
                                                 const CallOptions& options) override {
    const bool repeatable = IsIdempotent(request.request());
    return MakeRange<v1::FetchPagedResponse>(MakeCall(options), [&](grpc::ClientContext* context) {
      return StubFor(repeatable).FetchPaged(context, request);
    });
  }

  std::unique_ptr<StreamCall> FetchStream(const v1::FetchStreamStart& start, const CallOptions& options) override {
    // A streamed body is never sent twice.
    const bool repeatable = !start.streams_body() && !start.streams_multipart() && IsIdempotent(start.request());
    auto call = std::make_unique<GrpcStreamCall>(MakeCall(options), StubFor(repeatable));
    v1::FetchStreamRequest message;
    *message.mutable_start() = start;
    // A failed write means that the call has ended; the reader learns how.
    call->Write(message);
    return call;
  }

  absl::StatusOr<v1::CheckUrlResponse> CheckUrl(const v1::CheckUrlRequest& request,
                                                const CallOptions& options) override {
    return Ask<v1::CheckUrlResponse>(origin_stub_, &v1::OriginService::Stub::CheckUrl, request, options);
  }
  absl::StatusOr<v1::ListOriginsResponse> ListOrigins(const v1::ListOriginsRequest& request,
                                                      const CallOptions& options) override {
    return Ask<v1::ListOriginsResponse>(origin_stub_, &v1::OriginService::Stub::ListOrigins, request, options);
  }
  absl::StatusOr<v1::GetOriginResponse> GetOrigin(const v1::GetOriginRequest& request,
                                                  const CallOptions& options) override {
    return Ask<v1::GetOriginResponse>(origin_stub_, &v1::OriginService::Stub::GetOrigin, request, options);
  }
  StreamRange<v1::WatchOriginsResponse> WatchOrigins(const v1::WatchOriginsRequest& request,
                                                     const CallOptions& options) override {
    return MakeRange<v1::WatchOriginsResponse>(
        MakeCall(options), [&](grpc::ClientContext* context) { return origin_stub_.WatchOrigins(context, request); });
  }
  absl::StatusOr<v1::ResetOriginResponse> ResetOrigin(const v1::ResetOriginRequest& request,
                                                      const CallOptions& options) override {
    return Ask<v1::ResetOriginResponse>(admin_stub_, &v1::AdminService::Stub::ResetOrigin, request, options);
  }
  absl::StatusOr<v1::ForceOpenResponse> ForceOpen(const v1::ForceOpenRequest& request,
                                                  const CallOptions& options) override {
    return Ask<v1::ForceOpenResponse>(admin_stub_, &v1::AdminService::Stub::ForceOpen, request, options);
  }
  absl::StatusOr<v1::ForceCloseResponse> ForceClose(const v1::ForceCloseRequest& request,
                                                    const CallOptions& options) override {
    return Ask<v1::ForceCloseResponse>(admin_stub_, &v1::AdminService::Stub::ForceClose, request, options);
  }

  absl::Status CheckHealth(const CallOptions& options) override {
    Call call(options_, options, options_.fetch_deadline);
    const grpc::Slice empty;  // no field set: the health of the whole server
    const grpc::ByteBuffer request(&empty, 1);
    grpc::ByteBuffer response;
    grpc::Status status;
    absl::Notification done;
    health_stub_.UnaryCall(&call.context(), "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request, &response,
                           [&](grpc::Status result) {
                             status = std::move(result);
                             done.Notify();
                           });
    done.WaitForNotification();
    if (!status.ok()) return FromGrpc(status);
    constexpr int kServing = 1;
    constexpr int kNotServing = 2;
    const std::optional<int> serving = ServingStatus(response);
    if (!serving.has_value()) return absl::InternalError("the health service's reply cannot be read");
    if (*serving == kServing) return absl::OkStatus();
    return absl::FailedPreconditionError(*serving == kNotServing ? "NOT_SERVING" : "health unknown");
  }

 private:
  std::unique_ptr<Call> MakeCall(const CallOptions& options) const {
    return std::make_unique<Call>(options_, options, options_.stream_deadline);
  }
  template <typename Response, typename Stub, typename Method, typename Request>
  absl::StatusOr<Response> Ask(Stub& stub, Method method, const Request& request, const CallOptions& options) const {
    Call call(options_, options, options_.fetch_deadline);
    Response response;
    const grpc::Status status = (stub.*method)(&call.context(), request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }
  v1::FetchService::Stub& StubFor(bool repeatable) { return repeatable ? repeating_stub_ : once_stub_; }

  const Options options_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const std::shared_ptr<grpc::Channel> repeating_channel_;
  const std::shared_ptr<grpc::Channel> once_channel_;
  v1::FetchService::Stub repeating_stub_;
  v1::FetchService::Stub once_stub_;
  v1::OriginService::Stub origin_stub_;
  v1::AdminService::Stub admin_stub_;
  grpc::GenericStub health_stub_;
};

}  // namespace

std::shared_ptr<Connection> MakeConnection(const Options& options) { return std::make_shared<GrpcConnection>(options); }

}  // namespace fetchd
