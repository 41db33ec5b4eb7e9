// FetchService.Fetch.
#pragma once

#include <grpcpp/support/async_unary_call.h>

#include <memory>

#include "fetch/collecting_call.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

// One Fetch. See RpcCall for ownership and thread.
class UnaryCall final : public RpcCall {
 public:
  // Waits for a call, and has another one made when it comes.
  explicit UnaryCall(RpcDesk& desk);

 private:
  void OnArrived(bool ok);
  void OnCollected(Collected collected);
  void OnFinished(bool) {}
  void OnCancelled() override;
  void Refuse(const Refusal& refusal);

  v1::FetchRequest request_;
  grpc::ServerAsyncResponseWriter<v1::FetchResponse> responder_{&context_};
  CallTag<UnaryCall> arrived_{this, &UnaryCall::OnArrived};
  CallTag<UnaryCall> finished_{this, &UnaryCall::OnFinished};
  std::shared_ptr<CollectingCall> fetch_;
};

}  // namespace fetchd::server
