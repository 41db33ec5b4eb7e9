// grpc.reflection.v1alpha.ServerReflection, on the completion queue of all other RPCs.
#pragma once

#include <grpcpp/support/async_stream.h>

#include <string_view>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

// Ours for the same reason as the health service: gRPC's plugin brings threads that poll.
using AsyncReflectionService = grpc::reflection::v1alpha::ServerReflection::AsyncService;

// Answers from the descriptors that are linked in; `services` are those of ours to be listed. Extensions are not looked
// for: our protos have none that matter to callers. Stateless.
grpc::reflection::v1alpha::ServerReflectionResponse Reflect(
    const grpc::reflection::v1alpha::ServerReflectionRequest& request, const std::vector<std::string_view>& services);

// ServerReflectionInfo: one answer for each question, one at a time.
class ReflectionCall final : public RpcCall {
 public:
  ReflectionCall(RpcDesk& desk, AsyncReflectionService& service);

  void OnDrain() override;

 private:
  void OnArrived(bool ok);
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool) {}
  void OnCancelled() override {}
  void Read();
  void Finish(const grpc::Status& status);

  AsyncReflectionService& service_;
  grpc::reflection::v1alpha::ServerReflectionRequest request_;
  grpc::ServerAsyncReaderWriter<grpc::reflection::v1alpha::ServerReflectionResponse,
                                grpc::reflection::v1alpha::ServerReflectionRequest>
      stream_{&context_};
  CallTag<ReflectionCall> arrived_{this, &ReflectionCall::OnArrived};
  CallTag<ReflectionCall> read_{this, &ReflectionCall::OnRead};
  CallTag<ReflectionCall> written_{this, &ReflectionCall::OnWritten};
  CallTag<ReflectionCall> finished_{this, &ReflectionCall::OnFinished};
  bool begun_ = false;
  bool writing_ = false;
  bool draining_ = false;
  bool finished_called_ = false;
};

}  // namespace fetchd::server
