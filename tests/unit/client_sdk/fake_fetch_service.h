#pragma once

#include <functional>
#include <memory>
#include <string>

#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "fetchd/v1/origin_service.grpc.pb.h"
#include "google/protobuf/message.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"

namespace fetchd {

// A fetchd whose answers a test writes: set the handlers that are needed before calling.
class FakeFetchService : public v1::FetchService::Service {
 public:
  using Context = grpc::ServerContext;

  std::function<grpc::Status(Context*, const v1::FetchRequest&, v1::FetchResponse*)> on_fetch;
  std::function<grpc::Status(Context*, const v1::FetchBatchRequest&, grpc::ServerWriter<v1::FetchBatchResponse>*)>
      on_batch;
  std::function<grpc::Status(Context*, const v1::FetchPagedRequest&, grpc::ServerWriter<v1::FetchPagedResponse>*)>
      on_paged;
  std::function<grpc::Status(Context*, grpc::ServerReaderWriter<v1::FetchStreamResponse, v1::FetchStreamRequest>*)>
      on_stream;

  grpc::Status Fetch(Context* context, const v1::FetchRequest* request, v1::FetchResponse* response) override {
    return on_fetch(context, *request, response);
  }
  grpc::Status FetchBatch(Context* context, const v1::FetchBatchRequest* request,
                          grpc::ServerWriter<v1::FetchBatchResponse>* writer) override {
    return on_batch(context, *request, writer);
  }
  grpc::Status FetchPaged(Context* context, const v1::FetchPagedRequest* request,
                          grpc::ServerWriter<v1::FetchPagedResponse>* writer) override {
    return on_paged(context, *request, writer);
  }
  grpc::Status FetchStream(Context* context,
                           grpc::ServerReaderWriter<v1::FetchStreamResponse, v1::FetchStreamRequest>* stream) override {
    return on_stream(context, stream);
  }
};

// Likewise of OriginService.
class FakeOriginService : public v1::OriginService::Service {
 public:
  using Context = grpc::ServerContext;

  std::function<grpc::Status(const v1::ListOriginsRequest&, v1::ListOriginsResponse*)> on_list;
  std::function<grpc::Status(const v1::CheckUrlRequest&, v1::CheckUrlResponse*)> on_check;
  std::function<grpc::Status(const v1::WatchOriginsRequest&, grpc::ServerWriter<v1::WatchOriginsResponse>*)> on_watch;

  grpc::Status ListOrigins(Context*, const v1::ListOriginsRequest* request,
                           v1::ListOriginsResponse* response) override {
    return on_list(*request, response);
  }
  // Knows all but "https://unknown".
  grpc::Status GetOrigin(Context*, const v1::GetOriginRequest* request, v1::GetOriginResponse* response) override {
    if (request->name() == "https://unknown") return {grpc::StatusCode::NOT_FOUND, "no such origin"};
    response->mutable_origin()->set_name(request->name());
    return grpc::Status::OK;
  }
  grpc::Status CheckUrl(Context*, const v1::CheckUrlRequest* request, v1::CheckUrlResponse* response) override {
    return on_check(*request, response);
  }
  grpc::Status WatchOrigins(Context*, const v1::WatchOriginsRequest* request,
                            grpc::ServerWriter<v1::WatchOriginsResponse>* writer) override {
    return on_watch(*request, writer);
  }
};

// Likewise of AdminService; answers with an origin of the name it was given.
class FakeAdminService : public v1::AdminService::Service {
 public:
  using Context = grpc::ServerContext;

  std::function<void(const v1::ResetOriginRequest&)> on_reset;
  std::function<void(const v1::ForceOpenRequest&)> on_open;
  std::function<void(const v1::ForceCloseRequest&)> on_close;

  grpc::Status ResetOrigin(Context*, const v1::ResetOriginRequest* request,
                           v1::ResetOriginResponse* response) override {
    on_reset(*request);
    Write(request->name(), *response->mutable_origin());
    return grpc::Status::OK;
  }
  grpc::Status ForceOpen(Context*, const v1::ForceOpenRequest* request, v1::ForceOpenResponse* response) override {
    on_open(*request);
    Write(request->name(), *response->mutable_origin());
    return grpc::Status::OK;
  }
  grpc::Status ForceClose(Context*, const v1::ForceCloseRequest* request, v1::ForceCloseResponse* response) override {
    on_close(*request);
    Write(request->name(), *response->mutable_origin());
    return grpc::Status::OK;
  }

 private:
  static void Write(const std::string& name, v1::Origin& origin) {
    origin.set_name(name);
    origin.mutable_breaker()->set_state(v1::OriginBreaker::STATE_CLOSED);
  }
};

// Serves a FakeFetchService and its siblings on a port of its own, with the health service.
class FakeServer {
 public:
  explicit FakeServer(std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials()) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port_);
    builder.RegisterService(&service);
    builder.RegisterService(&origins);
    builder.RegisterService(&admin);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  grpc::Server& server() { return *server_; }

  FakeFetchService service;
  FakeOriginService origins;
  FakeAdminService admin;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// A status with google.rpc details, as fetchd sends them.
inline grpc::Status StatusWith(grpc::StatusCode code, const std::string& message,
                               const std::vector<const google::protobuf::Message*>& details) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  for (const google::protobuf::Message* detail : details) status.add_details()->PackFrom(*detail);
  return grpc::Status(code, message, status.SerializeAsString());
}

}  // namespace fetchd
