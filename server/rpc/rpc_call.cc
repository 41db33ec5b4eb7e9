#include "rpc/rpc_call.h"

#include <utility>

#include "base/text.h"
#include "rpc/caller_identity.h"

namespace fetchd::server {

RpcCall::RpcCall(RpcDesk& desk) : desk_(desk), next_(desk.calls), link_(&desk.calls) {
  if (next_ != nullptr) next_->link_ = &next_;
  desk.calls = this;
}

RpcCall::~RpcCall() {
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  if (desk_.calls == nullptr && desk_.on_no_calls) desk_.on_no_calls();
}

void RpcCall::DoneTag::OnEvent(bool) {
  if (call_->context_.IsCancelled()) {
    call_->cancelled_ = true;
    call_->OnCancelled();
  }
  call_->Release();
}

std::variant<RpcFacts, Refusal> RpcCall::Facts() const {
  std::variant<std::string, Refusal> caller = CallerOf(context_);
  if (auto* refusal = std::get_if<Refusal>(&caller)) return std::move(*refusal);
  RpcFacts facts;
  facts.caller = std::move(std::get<std::string>(caller));
  facts.now = desk_.clock.Now();
  facts.wall_now = desk_.clock.WallNow();
  const auto deadline = context_.deadline();
  if (deadline != decltype(deadline)::max())
    facts.answer_by = AnswerBy(facts.now, After(facts.now, WallTime(deadline) - facts.wall_now));
  return facts;
}

std::optional<Refusal> RpcCall::Admit(int64_t fetches) {
  switch (desk_.admission.Admit(fetches, permit_)) {
    case Admission::Verdict::kAdmitted:
      return std::nullopt;
    case Admission::Verdict::kDraining:
      return Draining{};
    case Admission::Verdict::kOverloaded:
      break;
  }
  return Overloaded{Concat("fetchd is overloaded: ", desk_.admission.in_flight(), " fetches are in progress, ",
                           desk_.admission.options().max_in_flight, " are allowed")};
}

}  // namespace fetchd::server
