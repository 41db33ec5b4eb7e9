// FetchService.FetchBatch.
#pragma once

#include <google/protobuf/arena.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <optional>
#include <string_view>
#include <variant>

#include "fetch/batch.h"
#include "rpc/batch_outbox.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

// One FetchBatch. See RpcCall for ownership and thread.
class BatchCall final : public RpcCall, public BatchSource, public BatchReceiver {
 public:
  // Waits for a call, and has another one made when it comes.
  explicit BatchCall(RpcDesk& desk);

 private:
  void OnArrived(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  void OnCancelled() override;
  std::variant<FetchSpec, ItemFailure> Read(size_t index) override;
  void OnResult(size_t index, std::string_view fetch_id, Collected* fetched) override;
  size_t unsent_bytes() const override { return outbox_->bytes(); }
  bool Send(bool all) override;
  void OnEnd(std::optional<ItemFailure> broken) override;
  void Refuse(const Refusal& refusal);

  grpc::ByteBuffer request_bytes_;
  // Holds request_: an allocation each for a few dozen items, and none to free one by one.
  std::optional<google::protobuf::Arena> arena_;
  v1::FetchBatchRequest* request_ = nullptr;
  RpcFacts facts_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
  CallTag<BatchCall> arrived_{this, &BatchCall::OnArrived};
  CallTag<BatchCall> written_{this, &BatchCall::OnWritten};
  CallTag<BatchCall> finished_{this, &BatchCall::OnFinished};
  // While batch_ runs.
  std::optional<BatchOutbox> outbox_;
  std::shared_ptr<BatchFetch> batch_;
  bool writing_ = false;
  bool finishing_ = false;
  // How to finish once no write is in flight.
  std::optional<Refusal> refused_;
};

}  // namespace fetchd::server
