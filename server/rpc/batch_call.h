// FetchService.FetchBatch.
#pragma once

#include <grpcpp/support/async_stream.h>

#include <memory>
#include <optional>
#include <vector>

#include "fetch/batch.h"
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
  std::variant<FetchSpec, Collected> Read(size_t index) override;
  void OnResults(std::vector<BatchItemResult> results, bool last) override;
  void OnEnd(std::optional<Collected> broken) override;
  void Refuse(const Refusal& refusal);

  v1::FetchBatchRequest request_;
  RpcFacts facts_;
  grpc::ServerAsyncWriter<v1::FetchBatchResponse> writer_{&context_};
  CallTag<BatchCall> arrived_{this, &BatchCall::OnArrived};
  CallTag<BatchCall> written_{this, &BatchCall::OnWritten};
  CallTag<BatchCall> finished_{this, &BatchCall::OnFinished};
  std::shared_ptr<BatchFetch> batch_;
  bool writing_ = false;
  bool finishing_ = false;
  // How to finish once no write is in flight.
  std::optional<Refusal> refused_;
};

}  // namespace fetchd::server
