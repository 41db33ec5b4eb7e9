#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <utility>

#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "loop_server.h"

namespace fetchd::server {
namespace {

using CallbackFetchService = v1::FetchService::WithRawCallbackMethod_Fetch<
    v1::FetchService::WithRawCallbackMethod_FetchBatch<v1::FetchService::Service>>;

class UnaryReactor final : public grpc::ServerUnaryReactor, public UnaryWork {
 public:
  UnaryReactor(LoopDesk& desk, grpc::CallbackServerContext& context, grpc::ByteBuffer request,
               grpc::ByteBuffer* response)
      : UnaryWork(desk), response_(*response) {
    Hold();  // until OnDone
    Begin(context, request, false);
  }

 private:
  void Answer(grpc::ByteBuffer&& reply) override {
    response_ = std::move(reply);
    Finish(grpc::Status::OK);
  }
  void Refuse(const grpc::Status& status) override { Finish(status); }
  // Not before the constructor has returned: gRPC learns of the reactor then.
  void OnCancel() override { Cancel(); }
  void OnDone() override { Release(); }

  grpc::ByteBuffer& response_;
};

class BatchReactor final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public BatchWork {
 public:
  BatchReactor(LoopDesk& desk, grpc::CallbackServerContext& context, const grpc::ByteBuffer& request)
      : BatchWork(desk) {
    Hold();  // until OnDone
    request_bytes_ = request;
    desk.AtHome([this, &context] { Begin(context); });
  }

 private:
  void Write(bool last) override {
    if (last) return StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
    StartWrite(&message_);
  }
  void Refuse(const grpc::Status& status) override { Finish(status); }
  void OnWriteDone(bool ok) override {
    desk_.AtHome([this, ok] { OnWritten(ok); });
  }
  void OnCancel() override {
    desk_.AtHome([this] { BatchWork::Cancel(); });
  }
  // The last message has no OnWriteDone. All that was posted home before has run by then.
  void OnDone() override {
    asio::post(desk_.home().io(), [this] {
      OnWritten(true);
      Release();
    });
  }
};

class Service final : public CallbackFetchService {
 public:
  explicit Service(LoopDesk& desk) : desk_(desk) {}
  grpc::ServerUnaryReactor* Fetch(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override {
    return new UnaryReactor(desk_, *context, *request, response);
  }
  grpc::ServerWriteReactor<grpc::ByteBuffer>* FetchBatch(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request) override {
    return new BatchReactor(desk_, *context, *request);
  }

 private:
  LoopDesk& desk_;
};

class CallbackServer final : public LoopServer {
 public:
  CallbackServer(const LoopOptions& options, LoopDesk& desk) : service_(desk) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(options.max_receive_message_bytes);
    builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  bool listens() const { return server_ != nullptr; }
  void Stop() override { server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1)); }

 private:
  Service service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::unique_ptr<LoopServer> ServeByCallback(const LoopOptions& options, LoopDesk& desk) {
  auto server = std::make_unique<CallbackServer>(options, desk);
  if (!server->listens()) return nullptr;
  return server;
}

}  // namespace fetchd::server
