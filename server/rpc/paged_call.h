// FetchService.FetchPaged.
#pragma once

#include <grpcpp/support/async_stream.h>

#include <memory>
#include <optional>
#include <string>

#include "fetch/paged.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

// One FetchPaged. See RpcCall for ownership and thread.
class PagedCall final : public RpcCall, public PagedReceiver {
 public:
  // Waits for a call, and has another one made when it comes.
  explicit PagedCall(RpcDesk& desk);

  void OnDrain() override;

 private:
  void OnArrived(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool) {}
  void OnCancelled() override;
  void OnMessage(PagedMessage message) override;
  void OnEnd(PagedEnd end) override;
  void Refuse(const Refusal& refusal);

  v1::FetchPagedRequest request_;
  std::string fetch_id_;
  grpc::ServerAsyncWriter<v1::FetchPagedResponse> writer_{&context_};
  CallTag<PagedCall> arrived_{this, &PagedCall::OnArrived};
  CallTag<PagedCall> written_{this, &PagedCall::OnWritten};
  CallTag<PagedCall> finished_{this, &PagedCall::OnFinished};
  std::shared_ptr<PagedFetch> paged_;
  bool writing_ = false;
  // How to finish once no write is in flight.
  std::optional<Refusal> refused_;
};

}  // namespace fetchd::server
