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

std::optional<Refusal> RpcCall::Admit(int64_t fetches, const RpcFacts& facts, Priority priority) {
  Admission& admission = desk_.admission;
  const Admission::Request request{.fetches = fetches,
                                   .caller = facts.caller,
                                   .priority = priority,
                                   .body_bytes = desk_.buffered_bytes.value() + desk_.starter.held_bytes()};
  const Admission::Verdict verdict = admission.Admit(request, permit_);
  if (verdict == Admission::Verdict::kAdmitted) return std::nullopt;
  if (verdict == Admission::Verdict::kDraining) return Draining{};
  const AdmissionOptions& options = admission.options();
  const Duration retry_after = admission.RetryAfter(request, facts.now);
  if (verdict == Admission::Verdict::kTooManyOfCaller) {
    return QuotaExceeded{.caller = facts.caller,
                         .description = Concat(admission.in_flight_of(facts.caller), " fetches of ", facts.caller,
                                               " are in progress, ", options.max_in_flight_per_caller, " are allowed"),
                         .retry_after = retry_after};
  }
  if (verdict == Admission::Verdict::kTooManyBytes) {
    return Overloaded{Concat("fetchd is overloaded: ", request.body_bytes, " bytes of bodies are in memory, ",
                             Admission::Share(options.max_body_bytes, priority), " are allowed for this priority"),
                      retry_after};
  }
  return Overloaded{Concat("fetchd is overloaded: ", admission.in_flight(), " fetches are in progress, ",
                           Admission::Share(options.max_in_flight, priority), " are allowed for this priority"),
                    retry_after};
}

}  // namespace fetchd::server
