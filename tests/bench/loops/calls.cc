#include "calls.h"

#include <string>

#include "rpc/caller_identity.h"
#include "rpc/fetch_reply.h"
#include "rpc/raw_message.h"
#include "rpc/status_table.h"

namespace fetchd::server {
namespace {

std::optional<Refusal> Admit(Admission& admission, int64_t fetches, Admission::Permit& permit) {
  if (admission.Admit({.fetches = fetches}, permit) == Admission::Verdict::kAdmitted) return std::nullopt;
  return Overloaded{"overloaded"};
}

}  // namespace

RpcFacts LoopCall::Facts(const grpc::ServerContextBase& context) const {
  // As CallerOf, which takes the context of the completion queue alone; there is no TLS here.
  const auto& metadata = context.client_metadata();
  const auto named = metadata.find(grpc::string_ref(kCallerKey.data(), kCallerKey.size()));
  RpcFacts facts;
  facts.caller =
      named == metadata.end() ? PeerAddress(context.peer()) : std::string(named->second.data(), named->second.size());
  facts.now = desk_.clock.Now();
  facts.wall_now = desk_.clock.WallNow();
  const auto deadline = context.deadline();
  if (deadline != decltype(deadline)::max())
    facts.answer_by = AnswerBy(facts.now, After(facts.now, WallTime(deadline) - facts.wall_now));
  return facts;
}

class UnaryWork::Exchange final : public CollectingCall {
 public:
  Exchange(Executor home, UnaryWork& work) : CollectingCall(home), work_(work) {}

 private:
  void OnCollected(Collected& collected) override { work_.OnCollected(spec.id, collected); }

  UnaryWork& work_;
};

void UnaryWork::Begin(const grpc::ServerContextBase& context, grpc::ByteBuffer& request, bool answer_at_home) {
  v1::FetchRequest message;
  if (!ParseMessage(request, message)) return Refuse(ToStatus(InvalidRequest{}));
  auto read = desk_.reader.ReadFetch(std::move(message), Facts(context));
  if (const auto* refusal = std::get_if<Refusal>(&read)) return Refuse(ToStatus(*refusal));
  if (const auto refusal = Admit(desk_.admission, 1, permit_)) return Refuse(ToStatus(*refusal));
  auto& spec = std::get<FetchSpec>(read);
  EngineThread& thread = answer_at_home ? desk_.home() : desk_.engine.OwnerOf(spec.url.origin());
  Hold();  // until OnCollected
  auto exchange = std::make_shared<Exchange>(thread.executor(), *this);
  exchange->spec = std::move(spec);
  exchange->rpc = "Fetch";
  fetch_ = exchange;
  desk_.starter.Start(std::move(exchange));
}

void UnaryWork::Cancel() {
  if (fetch_ != nullptr) desk_.starter.Cancel(fetch_);
}

void UnaryWork::OnCollected(std::string_view fetch_id, Collected& collected) {
  const auto& failure = collected.outcome.failure;
  if (failure && failure->code == FailureCode::kCancelled) {
    Refuse(ToStatus(CallerCancelled{}));
  } else if (failure && failure->code == FailureCode::kInternal) {
    Refuse(ToStatus(Broken{std::string(fetch_id), failure->detail}));
  } else {
    MessageWriter reply;
    FetchReply(fetch_id, collected).Write(reply);
    Answer(reply.Take());
  }
  Release();
}

void BatchWork::Begin(const grpc::ServerContextBase& context) {
  facts_ = Facts(context);
  if (!ParseMessage(request_bytes_, request_)) return Refuse(ToStatus(InvalidRequest{}));
  auto spec = desk_.reader.ReadBatch(request_, facts_);
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(ToStatus(*refusal));
  const auto& batch = std::get<BatchSpec>(spec);
  if (const auto refusal = Admit(desk_.admission, static_cast<int64_t>(batch.max_concurrency), permit_))
    return Refuse(ToStatus(*refusal));
  Hold();  // until OnEnd
  outbox_.emplace(batch.input_order);
  batch_ = std::make_shared<BatchFetch>(batch, *this, desk_.starter, desk_.clock, desk_.home().executor(), *this);
  batch_->Start();
}

std::variant<FetchSpec, ItemFailure> BatchWork::Read(size_t index) {
  facts_.now = desk_.clock.Now();
  return desk_.reader.ReadBatchItem(std::move(*request_.mutable_requests(static_cast<int>(index))), index, facts_);
}

void BatchWork::OnResult(size_t index, std::string_view fetch_id, Collected* fetched) {
  outbox_->Add(index, fetch_id, fetched);
}

bool BatchWork::Send(bool all) {
  auto message = outbox_->Take();
  if (!message) return false;
  message_ = *std::move(message);
  writing_ = true;
  wrote_last_ = all && outbox_->bytes() == 0;
  Write(wrote_last_);
  return true;
}

void BatchWork::OnWritten(bool ok) {
  if (!writing_) return;
  writing_ = false;
  if (refused_) return Refuse(ToStatus(*refused_));
  if (batch_ == nullptr) return;
  if (ok || wrote_last_) return batch_->CallerReady();
  batch_->Cancel();
}

void BatchWork::Cancel() {
  if (batch_ != nullptr) batch_->Cancel();
}

void BatchWork::OnEnd(std::optional<ItemFailure> broken) {
  batch_.reset();
  if (!wrote_last_) {
    refused_ = CallerCancelled{};
    if (broken) refused_ = Broken{broken->fetch_id, broken->failure.detail};
    if (!writing_) Refuse(ToStatus(*refused_));
  }
  Release();
}

}  // namespace fetchd::server
