#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <utility>

#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "loop_server.h"
#include "rpc/response_writer.h"

namespace fetchd::server {
namespace {

using CallbackFetchService = v1::FetchService::WithCallbackMethod_Fetch<
    v1::FetchService::WithCallbackMethod_FetchBatch<v1::FetchService::Service>>;

// gRPC made the message for this call alone, and has no more use for it.
template <typename Message>
Message&& Take(const Message* message) {
  return std::move(*const_cast<Message*>(message));
}

class UnaryReactor final : public grpc::ServerUnaryReactor, public UnaryWork {
 public:
  UnaryReactor(LoopDesk& desk, grpc::CallbackServerContext& context, const v1::FetchRequest* request,
               v1::FetchResponse* response)
      : UnaryWork(desk), response_(*response) {
    Hold();  // until OnDone
    Begin(context, Take(request), false);
  }

 private:
  void Answer(Collected&& collected) override {
    WriteFetchResponse(std::move(collected), response_);
    Finish(grpc::Status::OK);
  }
  void Refuse(const grpc::Status& status) override { Finish(status); }
  // Not before the constructor has returned: gRPC learns of the reactor then.
  void OnCancel() override { Cancel(); }
  void OnDone() override { Release(); }

  v1::FetchResponse& response_;
};

class BatchReactor final : public grpc::ServerWriteReactor<v1::FetchBatchResponse>, public BatchWork {
 public:
  BatchReactor(LoopDesk& desk, grpc::CallbackServerContext& context, const v1::FetchBatchRequest* request)
      : BatchWork(desk) {
    Hold();  // until OnDone
    request_ = Take(request);
    desk.AtHome([this, &context] { Begin(context); });
  }

 private:
  void Write(bool last) override {
    if (last) return StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    StartWrite(&response_);
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
  grpc::ServerUnaryReactor* Fetch(grpc::CallbackServerContext* context, const v1::FetchRequest* request,
                                  v1::FetchResponse* response) override {
    return new UnaryReactor(desk_, *context, request, response);
  }
  grpc::ServerWriteReactor<v1::FetchBatchResponse>* FetchBatch(grpc::CallbackServerContext* context,
                                                               const v1::FetchBatchRequest* request) override {
    return new BatchReactor(desk_, *context, request);
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
