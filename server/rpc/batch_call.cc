#include "rpc/batch_call.h"

#include <utility>

#include "rpc/raw_message.h"

namespace fetchd::server {
namespace {

constexpr size_t kArenaBlock = 16 * 1024;

}  // namespace

BatchCall::BatchCall(RpcDesk& desk) : RpcCall(desk) {
  NotifyWhenDone();
  desk.service.RequestFetchBatch(&context_, &request_bytes_, &writer_, &desk.cq, &desk.cq, arrived_.Arm());
}

void BatchCall::OnArrived(bool ok) {
  if (!ok) return;
  new BatchCall(desk_);
  Arrived();
  std::variant<RpcFacts, Refusal> facts = Facts();
  if (const auto* refusal = std::get_if<Refusal>(&facts)) return Refuse(*refusal);
  facts_ = std::move(std::get<RpcFacts>(facts));
  google::protobuf::ArenaOptions options;
  options.start_block_size = kArenaBlock;
  options.max_block_size = kArenaBlock;
  request_ = google::protobuf::Arena::CreateMessage<v1::FetchBatchRequest>(&arena_.emplace(options));
  if (!ParseMessage(request_bytes_, *request_))
    return Refuse(InvalidRequest{{{"message", "is not a FetchBatchRequest"}}});
  auto spec = desk_.reader.ReadBatch(*request_, facts_);
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(*refusal);
  const auto& batch = std::get<BatchSpec>(spec);
  if (const auto refusal = Admit(static_cast<int64_t>(batch.max_concurrency), facts_, batch.priority))
    return Refuse(*refusal);
  Hold();  // until OnEnd
  outbox_.emplace(batch.input_order);
  batch_ = std::make_shared<BatchFetch>(batch, *this, desk_.starter, desk_.clock, desk_.home, *this);
  batch_->Start();
}

std::variant<FetchSpec, ItemFailure> BatchCall::Read(size_t index) {
  // Each item's own total timeout counts from when it is begun.
  facts_.now = desk_.clock.Now();
  return desk_.reader.ReadBatchItem(std::move(*request_->mutable_requests(static_cast<int>(index))), index, facts_);
}

void BatchCall::OnResult(size_t index, std::string_view fetch_id, Collected* fetched) {
  outbox_->Add(index, fetch_id, fetched);
}

bool BatchCall::Send(bool all) {
  const std::optional<grpc::ByteBuffer> message = outbox_->Take();
  if (!message) return false;
  if (all && outbox_->bytes() == 0) {
    finishing_ = true;
    writer_.WriteAndFinish(*message, grpc::WriteOptions(), grpc::Status::OK, finished_.Arm());
  } else {
    writing_ = true;
    writer_.Write(*message, written_.Arm());
  }
  return true;
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

void BatchCall::OnEnd(std::optional<ItemFailure> broken) {
  batch_.reset();
  if (!finishing_) {
    if (broken) {
      Refuse(Broken{broken->fetch_id, broken->failure.detail});
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
