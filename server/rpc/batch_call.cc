#include "rpc/batch_call.h"

#include <utility>

#include "rpc/response_writer.h"

namespace fetchd::server {

BatchCall::BatchCall(RpcDesk& desk) : RpcCall(desk) {
  NotifyWhenDone();
  desk.service.RequestFetchBatch(&context_, &request_, &writer_, &desk.cq, &desk.cq, arrived_.Arm());
}

void BatchCall::OnArrived(bool ok) {
  if (!ok) return;
  new BatchCall(desk_);
  Arrived();
  std::variant<RpcFacts, Refusal> facts = Facts();
  if (const auto* refusal = std::get_if<Refusal>(&facts)) return Refuse(*refusal);
  facts_ = std::move(std::get<RpcFacts>(facts));
  auto spec = desk_.reader.ReadBatch(request_, facts_);
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(*refusal);
  const auto& batch = std::get<BatchSpec>(spec);
  if (const auto refusal = Admit(static_cast<int64_t>(batch.max_concurrency))) return Refuse(*refusal);
  Hold();  // until OnEnd
  batch_ = std::make_shared<BatchFetch>(batch, *this, desk_.starter, desk_.clock, desk_.home, *this);
  batch_->Start();
}

std::variant<FetchSpec, Collected> BatchCall::Read(size_t index) {
  // Each item's own total timeout counts from when it is begun.
  facts_.now = desk_.clock.Now();
  v1::FetchRequest request = std::move(*request_.mutable_requests(static_cast<int>(index)));
  return desk_.reader.ReadBatchItem(std::move(request), index, facts_);
}

void BatchCall::OnResults(std::vector<BatchItemResult> results, bool last) {
  v1::FetchBatchResponse response;
  WriteBatchResponse(std::move(results), response);
  if (last) {
    finishing_ = true;
    writer_.WriteAndFinish(response, grpc::WriteOptions(), grpc::Status::OK, finished_.Arm());
  } else {
    writing_ = true;
    writer_.Write(response, written_.Arm());
  }
}

void BatchCall::OnWritten(bool ok) {
  writing_ = false;
  if (refused_) return Refuse(*refused_);
  if (batch_ == nullptr) return;
  if (ok) {
    batch_->CallerReady();
  } else {
    batch_->Cancel();
  }
}

void BatchCall::OnFinished(bool) {
  // Whether they arrived or not, the last results were sent.
  if (batch_ != nullptr) batch_->CallerReady();
}

void BatchCall::OnCancelled() {
  if (batch_ != nullptr) batch_->Cancel();
}

void BatchCall::OnEnd(std::optional<Collected> broken) {
  batch_.reset();
  if (!finishing_) {
    if (broken) {
      Refuse(Broken{broken->id, broken->outcome.failure->detail});
    } else {
      Refuse(CallerCancelled{});
    }
  }
  Release();
}

void BatchCall::Refuse(const Refusal& refusal) {
  if (writing_) {
    refused_ = refusal;
    return;
  }
  finishing_ = true;
  writer_.Finish(ToStatus(refusal), finished_.Arm());
}

}  // namespace fetchd::server
