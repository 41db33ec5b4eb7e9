#include "rpc/unary_call.h"

#include <google/protobuf/arena.h>

#include <utility>

#include "rpc/fetch_reply.h"
#include "rpc/raw_message.h"

namespace fetchd::server {

class UnaryCall::Exchange final : public CollectingCall {
 public:
  Exchange(Executor home, UnaryCall& call) : CollectingCall(home), call_(call) {}

 private:
  void OnCollected(Collected& collected) override { call_.OnCollected(spec.id, collected); }

  UnaryCall& call_;
};

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
  alignas(8) char block[2048];
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = sizeof(block);
  google::protobuf::Arena arena(options);
  v1::FetchRequest& request = *google::protobuf::Arena::CreateMessage<v1::FetchRequest>(&arena);
  if (!ParseMessage(request_, request)) return Refuse(InvalidRequest{{{"message", "is not a FetchRequest"}}});
  auto spec = desk_.reader.ReadFetch(std::move(request), std::get<RpcFacts>(facts));
  if (const auto* refusal = std::get_if<Refusal>(&spec)) return Refuse(*refusal);
  const Priority priority = std::get<FetchSpec>(spec).priority;
  if (const auto refusal = Admit(1, std::get<RpcFacts>(facts), priority)) return Refuse(*refusal);

  Hold();  // until OnCollected
  auto exchange = std::make_shared<Exchange>(desk_.home, *this);
  exchange->spec = std::move(std::get<FetchSpec>(spec));
  exchange->rpc = "Fetch";
  fetch_ = exchange;
  desk_.starter.Start(std::move(exchange));
}

void UnaryCall::OnCollected(std::string_view fetch_id, Collected& collected) {
  const std::shared_ptr<FetchCall> until_answered = std::move(fetch_);
  Answer(fetch_id, collected);
  Release();
}

void UnaryCall::Answer(std::string_view fetch_id, Collected& collected) {
  if (const auto& failure = collected.outcome.failure) {
    if (failure->code == FailureCode::kCancelled) return Refuse(CallerCancelled{});
    if (failure->code == FailureCode::kInternal) return Refuse(Broken{std::string(fetch_id), failure->detail});
  }
  MessageWriter message;
  FetchReply(fetch_id, collected).Write(message);
  responder_.Finish(message.Take(), grpc::Status::OK, finished_.Arm());
}

void UnaryCall::OnCancelled() {
  if (fetch_ != nullptr) desk_.starter.Cancel(fetch_);
}

void UnaryCall::Refuse(const Refusal& refusal) { responder_.FinishWithError(ToStatus(refusal), finished_.Arm()); }

}  // namespace fetchd::server
