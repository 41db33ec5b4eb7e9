// FetchService.Fetch.
#pragma once

#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string_view>

#include "fetch/collecting_call.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

// One Fetch. See RpcCall for ownership and thread.
class UnaryCall final : public RpcCall {
 public:
  // Waits for a call, and has another one made when it comes.
  explicit UnaryCall(RpcDesk& desk);

 private:
  class Exchange;

  void OnArrived(bool ok);
  void OnCollected(std::string_view fetch_id, Collected& collected);
  void OnFinished(bool) {}
  void OnCancelled() override;
  void Answer(std::string_view fetch_id, Collected& collected);
  void Refuse(const Refusal& refusal);

  grpc::ByteBuffer request_;
  grpc::ServerAsyncResponseWriter<grpc::ByteBuffer> responder_{&context_};
  CallTag<UnaryCall> arrived_{this, &UnaryCall::OnArrived};
  CallTag<UnaryCall> finished_{this, &UnaryCall::OnFinished};
  std::shared_ptr<FetchCall> fetch_;
};

}  // namespace fetchd::server
