// Fetch and FetchBatch but for how they arrive and how their answers leave, which is what the arrangements differ in.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "engine/engine.h"
#include "fetch/admission.h"
#include "fetch/batch.h"
#include "fetch/fetch_starter.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "rpc/batch_outbox.h"
#include "rpc/request_reader.h"

namespace fetchd::server {

// What calls work with. Outlives them; thread-safe.
struct LoopDesk {
  Engine& engine;
  FetchStarter& starter;
  Admission& admission;
  const RequestReader& reader;
  const Clock& clock;

  // Engine thread 0, where batches live, and calls that belong to one thread.
  EngineThread& home() { return engine.thread(0); }
  // Runs `fn` on it: at once if that is the calling thread.
  template <typename Fn>
  void AtHome(Fn fn) {
    if (home().IsCurrent()) return fn();
    asio::post(home().io(), std::move(fn));
  }
};

// One RPC. Counts what is still to come back to it, from any thread, and is deleted when nothing is.
class LoopCall {
 public:
  LoopCall(const LoopCall&) = delete;
  LoopCall& operator=(const LoopCall&) = delete;
  void Hold() { held_.fetch_add(1, std::memory_order_relaxed); }
  void Release() {
    if (held_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  explicit LoopCall(LoopDesk& desk) : desk_(desk) {}
  virtual ~LoopCall() = default;
  RpcFacts Facts(const grpc::ServerContextBase& context) const;

  LoopDesk& desk_;
  Admission::Permit permit_;

 private:
  std::atomic<int> held_{0};
};

// One Fetch.
class UnaryWork : public LoopCall {
 protected:
  using LoopCall::LoopCall;
  // On any thread. Ends in one Answer or Refuse: at once if the request is refused, else on the thread of the engine
  // that owns the origin, or at home if `answer_at_home`.
  void Begin(const grpc::ServerContextBase& context, grpc::ByteBuffer& request, bool answer_at_home);
  // On any thread, but not while Begin runs.
  void Cancel();
  virtual void Answer(grpc::ByteBuffer&& reply) = 0;
  virtual void Refuse(const grpc::Status& status) = 0;

 private:
  class Exchange;
  void OnCollected(std::string_view fetch_id, Collected& collected);

  std::shared_ptr<FetchCall> fetch_;
};

// One FetchBatch. Everything is called at home.
class BatchWork : public LoopCall, public BatchSource, public BatchReceiver {
 protected:
  using LoopCall::LoopCall;
  // What came is in request_bytes_. Ends in one Write of the last results, or one Refuse.
  void Begin(const grpc::ServerContextBase& context);
  // The message of the last Write has left, or it never will. Harmless if there is none.
  void OnWritten(bool ok);
  void Cancel();
  // Sends message_; the last one together with the status OK.
  virtual void Write(bool last) = 0;
  virtual void Refuse(const grpc::Status& status) = 0;

  grpc::ByteBuffer request_bytes_;
  grpc::ByteBuffer message_;

 private:
  std::variant<FetchSpec, ItemFailure> Read(size_t index) override;
  void OnResult(size_t index, std::string_view fetch_id, Collected* fetched) override;
  size_t unsent_bytes() const override { return outbox_->bytes(); }
  bool Send(bool all) override;
  void OnEnd(std::optional<ItemFailure> broken) override;

  v1::FetchBatchRequest request_;
  RpcFacts facts_;
  std::optional<BatchOutbox> outbox_;
  std::shared_ptr<BatchFetch> batch_;
  bool writing_ = false;
  bool wrote_last_ = false;
  std::optional<Refusal> refused_;
};

}  // namespace fetchd::server
