#include "calls.h"

#include <string>

#include "rpc/caller_identity.h"
#include "rpc/response_writer.h"
#include "rpc/status_table.h"

namespace fetchd::server {
namespace {

std::optional<Refusal> Admit(Admission& admission, int64_t fetches, Admission::Permit& permit) {
  if (admission.Admit(fetches, permit) == Admission::Verdict::kAdmitted) return std::nullopt;
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

void UnaryWork::Begin(const grpc::ServerContextBase& context, v1::FetchRequest&& request, bool answer_at_home) {
  auto read = desk_.reader.ReadFetch(std::move(request), Facts(context));
  if (const auto* refusal = std::get_if<Refusal>(&read)) return Refuse(ToStatus(*refusal));
  if (const auto refusal = Admit(desk_.admission, 1, permit_)) return Refuse(ToStatus(*refusal));
  auto& spec = std::get<FetchSpec>(read);
  EngineThread& thread = answer_at_home ? desk_.home() : desk_.engine.OwnerOf(spec.url.origin());
  Hold();  // until OnCollected
  auto call = std::make_shared<CollectingCall>(thread.executor(), [this](Collected collected) {
    OnCollected(std::move(collected));
    Release();
  });
  call->spec = std::move(spec);
  call->rpc = "Fetch";
  fetch_ = call;
  desk_.starter.Start(std::move(call));
}

void UnaryWork::Cancel() {
  if (fetch_ != nullptr) desk_.starter.Cancel(fetch_);
}

void UnaryWork::OnCollected(Collected&& collected) {
  if (const auto& failure = collected.outcome.failure) {
    if (failure->code == FailureCode::kCancelled) return Refuse(ToStatus(CallerCancelled{}));
    if (failure->code == FailureCode::kInternal) return Refuse(ToStatus(Broken{collected.id, failure->detail}));
  }
  Answer(std::move(collected));
}

void BatchWork::Begin(const grpc::ServerContextBase& context) {
  facts_ = Facts(context);
  auto spec = desk_.reader.ReadBatch(request_, facts_);
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(ToStatus(*refusal));
  const auto& batch = std::get<BatchSpec>(spec);
  if (const auto refusal = Admit(desk_.admission, static_cast<int64_t>(batch.max_concurrency), permit_))
    return Refuse(ToStatus(*refusal));
  Hold();  // until OnEnd
  batch_ = std::make_shared<BatchFetch>(batch, *this, desk_.starter, desk_.clock, desk_.home().executor(), *this);
  batch_->Start();
}

std::variant<FetchSpec, Collected> BatchWork::Read(size_t index) {
  facts_.now = desk_.clock.Now();
  v1::FetchRequest request = std::move(*request_.mutable_requests(static_cast<int>(index)));
  return desk_.reader.ReadBatchItem(std::move(request), index, facts_);
}

void BatchWork::OnResults(std::vector<BatchItemResult> results, bool last) {
  response_.Clear();
  WriteBatchResponse(std::move(results), response_);
  writing_ = true;
  wrote_last_ = last;
  Write(last);
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

void BatchWork::OnEnd(std::optional<Collected> broken) {
  batch_.reset();
  if (!wrote_last_) {
    refused_ = CallerCancelled{};
    if (broken) refused_ = Broken{broken->id, broken->outcome.failure->detail};
    if (!writing_) Refuse(ToStatus(*refused_));
  }
  Release();
}

}  // namespace fetchd::server
