#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <chrono>
#include <thread>
#include <utility>

#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "loop_server.h"
#include "rpc/cq_loop.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {
namespace {

// As many as RpcServer arms.
constexpr int kUnaryArmed = 64;
constexpr int kBatchesArmed = 8;

using QueueFetchService =
    v1::FetchService::WithRawMethod_Fetch<v1::FetchService::WithRawMethod_FetchBatch<v1::FetchService::Service>>;

// The queue, as calls see it.
struct Queue {
  LoopDesk& desk;
  QueueFetchService service;
  std::unique_ptr<grpc::ServerCompletionQueue> cq;
  const bool apart;
  // Those waiting to be called included.
  std::atomic<int> calls{0};
};

// What both calls do with the queue. Their tags come back on the thread that runs it.
template <typename Call, typename Work>
class QueueCall : public Work {
 public:
  explicit QueueCall(Queue& queue) : Work(queue.desk), queue_(queue) {
    queue_.calls.fetch_add(1, std::memory_order_relaxed);
    context_.AsyncNotifyWhenDone(done_.Arm());
  }

 protected:
  ~QueueCall() override {
    queue_.calls.fetch_sub(1, std::memory_order_release);
    queue_.calls.notify_one();
  }

  Queue& queue_;
  grpc::ServerContext context_;
  CallTag<QueueCall> arrived_{this, &QueueCall::OnArrived};

 private:
  virtual void OnCall() = 0;
  virtual void OnCancelled() = 0;

  void OnArrived(bool ok) {
    // Of a call that never came nobody says that it is done.
    if (!ok) return this->Release();
    new Call(queue_);
    OnCall();
  }
  void OnDone(bool) {
    if (context_.IsCancelled()) OnCancelled();
  }

  CallTag<QueueCall> done_{this, &QueueCall::OnDone};
};

class QueueUnary final : public QueueCall<QueueUnary, UnaryWork> {
 public:
  explicit QueueUnary(Queue& queue) : QueueCall(queue) {
    queue.service.RequestFetch(&context_, &request_, &responder_, queue.cq.get(), queue.cq.get(), arrived_.Arm());
  }

 private:
  void OnCall() override { Begin(context_, request_, !queue_.apart); }
  void OnCancelled() override { Cancel(); }
  void OnFinished(bool) {}
  void Answer(grpc::ByteBuffer&& reply) override { responder_.Finish(reply, grpc::Status::OK, finished_.Arm()); }
  void Refuse(const grpc::Status& status) override { responder_.FinishWithError(status, finished_.Arm()); }

  grpc::ByteBuffer request_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> responder_{&context_};
  CallTag<QueueUnary> finished_{this, &QueueUnary::OnFinished};
};

class QueueBatch final : public QueueCall<QueueBatch, BatchWork> {
 public:
  explicit QueueBatch(Queue& queue) : QueueCall(queue) {
    queue.service.RequestFetchBatch(&context_, &request_bytes_, &writer_, queue.cq.get(), queue.cq.get(),
                                    arrived_.Arm());
  }

 private:
  void OnCall() override {
    AtHome([this] { Begin(context_); });
  }
  void OnCancelled() override {
    AtHome([this] { Cancel(); });
  }
  void OnEvent(bool ok) {
    AtHome([this, ok] { OnWritten(ok); });
  }
  void Write(bool last) override {
    if (last) return writer_.WriteAndFinish(message_, grpc::WriteOptions(), grpc::Status::OK, written_.Arm());
    writer_.Write(message_, written_.Arm());
  }
  void Refuse(const grpc::Status& status) override { writer_.Finish(status, finished_.Arm()); }
  void OnFinished(bool) {}
  // The call lives until then.
  template <typename Fn>
  void AtHome(Fn fn) {
    Hold();
    desk_.AtHome([this, fn] {
      fn();
      Release();
    });
  }

  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
  CallTag<QueueBatch> written_{this, &QueueBatch::OnEvent};
  CallTag<QueueBatch> finished_{this, &QueueBatch::OnFinished};
};

class QueueServer final : public LoopServer {
 public:
  QueueServer(const LoopOptions& options, LoopDesk& desk, bool apart)
      : queue_{.desk = desk, .service = {}, .cq = nullptr, .apart = apart} {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(options.max_receive_message_bytes);
    builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials());
    builder.RegisterService(&queue_.service);
    queue_.cq = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return;
    // Each call owns itself.
    for (int i = 0; i < kUnaryArmed; ++i) new QueueUnary(queue_);
    for (int i = 0; i < kBatchesArmed; ++i) new QueueBatch(queue_);
    thread_ = std::thread(apart ? &QueueServer::RunApart : &QueueServer::RunTogether, this);
  }
  ~QueueServer() override {
    if (thread_.joinable()) thread_.join();
  }
  bool listens() const { return server_ != nullptr; }

  void Stop() override {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    // Nothing may be begun on a queue that was shut down.
    while (const int left = queue_.calls.load(std::memory_order_acquire)) queue_.calls.wait(left);
    queue_.cq->Shutdown();
  }

 private:
  void RunApart() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.cq->Next(&tag, &ok)) CqTag::Back(tag)->OnEvent(ok);
  }
  void RunTogether() {
    EngineThread& home = queue_.desk.home();
    home.Adopt();
    CqLoop(home.io(), *queue_.cq, DrivenLoop::CoresFor(home.options().threads)).Run();
  }

  Queue queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<LoopServer> ServeByQueue(const LoopOptions& options, LoopDesk& desk, bool apart) {
  auto server = std::make_unique<QueueServer>(options, desk, apart);
  if (!server->listens()) return nullptr;
  return server;
}

}  // namespace fetchd::server
