#include "rpc/unary_call.h"

#include <utility>

#include "rpc/response_writer.h"

namespace fetchd::server {

UnaryCall::UnaryCall(RpcDesk& desk) : RpcCall(desk) {
  NotifyWhenDone();
  desk.service.RequestFetch(&context_, &request_, &responder_, &desk.cq, &desk.cq, arrived_.Arm());
}

void UnaryCall::OnArrived(bool ok) {
  if (!ok) return;
  new UnaryCall(desk_);
  Arrived();
  std::variant<RpcFacts, Refusal> facts = Facts();
  if (const auto* refusal = std::get_if<Refusal>(&facts)) return Refuse(*refusal);
  auto spec = desk_.reader.ReadFetch(std::move(request_), std::get<RpcFacts>(facts));
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(*refusal);
  if (const auto refusal = Admit(1)) return Refuse(*refusal);

  Hold();  // until OnCollected
  auto call = std::make_shared<CollectingCall>(desk_.home, [this](Collected collected) {
    OnCollected(std::move(collected));
    Release();
  });
  call->spec = std::move(std::get<FetchSpec>(spec));
  call->rpc = "Fetch";
  fetch_ = call;
  desk_.starter.Start(std::move(call));
}

void UnaryCall::OnCollected(Collected collected) {
  fetch_.reset();
  if (const auto& failure = collected.outcome.failure) {
    if (failure->code == FailureCode::kCancelled) return Refuse(CallerCancelled{});
    if (failure->code == FailureCode::kInternal) return Refuse(Broken{collected.id, failure->detail});
  }
  v1::FetchResponse response;
  WriteFetchResponse(std::move(collected), response);
  responder_.Finish(response, grpc::Status::OK, finished_.Arm());
}

void UnaryCall::OnCancelled() {
  if (fetch_ != nullptr) desk_.starter.Cancel(fetch_);
}

void UnaryCall::Refuse(const Refusal& refusal) { responder_.FinishWithError(ToStatus(refusal), finished_.Arm()); }

}  // namespace fetchd::server
