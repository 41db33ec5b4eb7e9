#include "rpc/paged_call.h"

#include <utility>

#include "rpc/response_writer.h"

namespace fetchd::server {

PagedCall::PagedCall(RpcDesk& desk) : RpcCall(desk) {
  NotifyWhenDone();
  desk.service.RequestFetchPaged(&context_, &request_, &writer_, &desk.cq, &desk.cq, arrived_.Arm());
}

void PagedCall::OnArrived(bool ok) {
  if (!ok) return;
  new PagedCall(desk_);
  Arrived();
  std::variant<RpcFacts, Refusal> facts = Facts();
  if (const auto* refusal = std::get_if<Refusal>(&facts)) return Refuse(*refusal);
  auto spec = desk_.reader.ReadPaged(std::move(request_), desk_.tokens, std::get<RpcFacts>(facts));
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(*refusal);
  auto& paged = std::get<PagedSpec>(spec);
  if (const auto refusal = Admit(1, std::get<RpcFacts>(facts), paged.request.priority)) return Refuse(*refusal);
  fetch_id_ = paged.request.id;
  Hold();  // until OnEnd
  paged_ = std::make_shared<PagedFetch>(std::move(paged), desk_.starter, desk_.tokens, desk_.clock, desk_.home, *this);
  paged_->Start();
}

void PagedCall::OnMessage(PagedMessage message) {
  v1::FetchPagedResponse response;
  WritePagedMessage(std::move(message), response);
  writing_ = true;
  writer_.Write(response, written_.Arm());
}

void PagedCall::OnWritten(bool ok) {
  writing_ = false;
  if (refused_) return Refuse(*refused_);
  if (paged_ == nullptr) return;
  if (ok) {
    paged_->CallerReady();
  } else {
    paged_->Cancel();
  }
}

void PagedCall::OnCancelled() {
  if (paged_ != nullptr) paged_->Cancel();
}

void PagedCall::OnDrain() {
  if (paged_ != nullptr) paged_->Drain();
}

void PagedCall::OnEnd(PagedEnd end) {
  paged_.reset();
  if (end.reason == PagedEnd::Reason::kCancelled) {
    Refuse(CallerCancelled{});
  } else if (end.error && end.error->failure.code == FailureCode::kInternal) {
    Refuse(Broken{fetch_id_, end.error->failure.detail});
  } else {
    v1::FetchPagedResponse response;
    WritePagedEnd(std::move(end), response);
    writer_.WriteAndFinish(response, grpc::WriteOptions(), grpc::Status::OK, finished_.Arm());
  }
  Release();
}

void PagedCall::Refuse(const Refusal& refusal) {
  if (writing_) {
    refused_ = refusal;
    return;
  }
  writer_.Finish(ToStatus(refusal), finished_.Arm());
}

}  // namespace fetchd::server
