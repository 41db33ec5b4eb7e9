#include "rpc/origin_calls.h"

#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "rpc/field_rules.h"
#include "rpc/origin_writer.h"

namespace fetchd::server {
namespace {

// Calls of each method that wait to be called.
constexpr int kArmed = 2;
constexpr size_t kDefaultPage = 100;
constexpr size_t kLargestPage = 1'000;
constexpr size_t kLargestWatchMessage = 500;
constexpr Duration kDefaultInterval = std::chrono::seconds(1);
constexpr Duration kLeastInterval = std::chrono::milliseconds(100);
// Which a name may take to resolve in a dry run.
constexpr Duration kCheckTime = std::chrono::seconds(10);

Refusal Bad(std::string field, std::string description) {
  return InvalidRequest{{{std::move(field), std::move(description)}}};
}

grpc::Status NotKnown() { return {grpc::StatusCode::NOT_FOUND, "no such origin is known"}; }

// The listener of admin.listen is the only one with gRPC's local credentials, which look at the connection's addresses
// themselves and leave this mark.
bool IsLocalListener(const grpc::ServerContext& context) {
  const auto auth = context.auth_context();
  if (auth == nullptr) return false;
  const auto types = auth->FindPropertyValues("transport_security_type");
  return types.size() == 1 && types.front() == "local";
}

struct ListOriginsMethod {
  using Request = v1::ListOriginsRequest;
  using Response = v1::ListOriginsResponse;
  static constexpr auto kRequest = &AsyncOriginService::RequestListOrigins;
  static AsyncOriginService& Service(OriginDesk& desk) { return desk.origins; }

  static void Run(auto& call) {
    const size_t asked = call.request.page_size() > 0 ? call.request.page_size() : kDefaultPage;
    const size_t size = std::min(asked, kLargestPage);
    // One more, to know whether there is another page.
    OriginFilter filter{
        .host_contains = call.request.host_contains(), .after = call.request.page_token(), .limit = size + 1};
    call.board().List(std::move(filter), call.desk().home, [&call, size](std::vector<OriginSnapshot> found) {
      Response response;
      if (found.size() > size) {
        found.resize(size);
        response.set_next_page_token(found.back().name);
      }
      for (const OriginSnapshot& origin : found) WriteOrigin(origin, *response.add_origins());
      call.Answer(response);
    });
  }
};

struct GetOriginMethod {
  using Request = v1::GetOriginRequest;
  using Response = v1::GetOriginResponse;
  static constexpr auto kRequest = &AsyncOriginService::RequestGetOrigin;
  static AsyncOriginService& Service(OriginDesk& desk) { return desk.origins; }

  static void Run(auto& call) {
    absl::StatusOr<Origin> origin = ParseOriginName(call.request.name());
    if (!origin.ok()) return call.Refuse(Bad("name", std::string(origin.status().message())));
    call.board().Get(*std::move(origin), call.desk().home, [&call](std::optional<OriginSnapshot> found) {
      if (!found) return call.End(NotKnown());
      Response response;
      WriteOrigin(*found, *response.mutable_origin());
      call.Answer(response);
    });
  }
};

struct CheckUrlMethod {
  using Request = v1::CheckUrlRequest;
  using Response = v1::CheckUrlResponse;
  static constexpr auto kRequest = &AsyncOriginService::RequestCheckUrl;
  static AsyncOriginService& Service(OriginDesk& desk) { return desk.origins; }

  static void Run(auto& call) {
    std::variant<RpcFacts, Refusal> facts = call.Facts();
    if (const auto* refusal = std::get_if<Refusal>(&facts)) return call.Refuse(*refusal);
    const auto& known = std::get<RpcFacts>(facts);
    v1::FetchRequest fetch;
    fetch.set_url(std::move(*call.request.mutable_url()));
    fetch.set_profile(std::move(*call.request.mutable_profile()));
    fetch.set_method(std::move(*call.request.mutable_method()));
    if (call.request.has_transport()) *fetch.mutable_transport() = std::move(*call.request.mutable_transport());
    auto read = call.desk().reader.ReadFetch(std::move(fetch), known);
    if (const auto* refusal = std::get_if<Refusal>(&read)) {
      const auto* forbidden = std::get_if<UrlForbidden>(refusal);
      if (forbidden == nullptr) return call.Refuse(*refusal);
      // That is what was asked.
      Response response;
      response.set_reason(forbidden->violation.description);
      response.set_caller(known.caller);
      return call.Answer(response);
    }
    // It asks DNS for the caller, as a fetch does.
    auto& spec = std::get<FetchSpec>(read);
    if (const auto refusal = call.Admit(1, known, spec.priority)) return call.Refuse(*refusal);
    spec.deadline = std::min(After(known.now, kCheckTime), spec.deadline);
    auto response = std::make_unique<Response>();
    WritePolicies(spec, *response);
    call.board().Check(std::move(spec), call.desk().home,
                       [&call, response = std::move(response)](const UrlCheck& check) {
                         WriteCheck(check, *response);
                         call.Answer(*response);
                       });
  }
};

// Refuses the call, or has the board act and answers with the origin afterwards.
void Act(auto& call, OriginAct act) {
  if (!IsLocalListener(call.context())) {
    return call.End({grpc::StatusCode::PERMISSION_DENIED, "AdminService answers on admin.listen only"});
  }
  std::variant<RpcFacts, Refusal> facts = call.Facts();
  if (const auto* refusal = std::get_if<Refusal>(&facts)) return call.Refuse(*refusal);
  act.caller = std::get<RpcFacts>(facts).caller;
  absl::StatusOr<Origin> origin = ParseOriginName(call.request.name());
  if (!origin.ok()) return call.Refuse(Bad("name", std::string(origin.status().message())));
  act.origin = *std::move(origin);
  call.board().Act(std::move(act), call.desk().home, [&call](std::optional<OriginSnapshot> after) {
    if (!after) return call.End(NotKnown());
    typename std::decay_t<decltype(call)>::Response response;
    WriteOrigin(*after, *response.mutable_origin());
    call.Answer(response);
  });
}

struct ResetMethod {
  using Request = v1::ResetOriginRequest;
  using Response = v1::ResetOriginResponse;
  static constexpr auto kRequest = &AsyncAdminService::RequestResetOrigin;
  static AsyncAdminService& Service(OriginDesk& desk) { return desk.admin; }
  static void Run(auto& call) {
    Act(call, {.kind = OriginAct::Kind::kReset, .origin = {}, .duration = {}, .caller = ""});
  }
};

struct OpenMethod {
  using Request = v1::ForceOpenRequest;
  using Response = v1::ForceOpenResponse;
  static constexpr auto kRequest = &AsyncAdminService::RequestForceOpen;
  static AsyncAdminService& Service(OriginDesk& desk) { return desk.admin; }
  static void Run(auto& call) {
    OriginAct act{.kind = OriginAct::Kind::kOpen, .origin = {}, .duration = {}, .caller = ""};
    if (call.request.has_duration()) {
      Duration duration{};
      const char* wrong = ReadDuration(call.request.duration(), duration);
      if (wrong == nullptr && duration == Duration::zero()) wrong = "must be above 0";
      if (wrong != nullptr) return call.Refuse(Bad("duration", wrong));
      act.duration = duration;
    }
    Act(call, std::move(act));
  }
};

struct CloseMethod {
  using Request = v1::ForceCloseRequest;
  using Response = v1::ForceCloseResponse;
  static constexpr auto kRequest = &AsyncAdminService::RequestForceClose;
  static AsyncAdminService& Service(OriginDesk& desk) { return desk.admin; }
  static void Run(auto& call) {
    Act(call, {.kind = OriginAct::Kind::kClose, .origin = {}, .duration = {}, .caller = ""});
  }
};

// As BoardCall wants it.
template <typename Method>
struct Armed : Method {
  static void Arm(OriginDesk& desk, grpc::ServerContext* context, typename Method::Request* request,
                  grpc::ServerAsyncResponseWriter<typename Method::Response>* responder,
                  grpc::ServerCompletionQueue* cq, void* tag) {
    (Method::Service(desk).*Method::kRequest)(context, request, responder, cq, cq, tag);
  }
};

template <typename Method>
void ArmCall(OriginDesk& desk) {
  // It owns itself.
  new BoardCall<Armed<Method>>(desk);
}

}  // namespace

void ArmOriginCalls(OriginDesk& desk, bool with_admin) {
  for (int i = 0; i < kArmed; ++i) {
    ArmCall<ListOriginsMethod>(desk);
    ArmCall<GetOriginMethod>(desk);
    ArmCall<CheckUrlMethod>(desk);
    new WatchOriginsCall(desk);
    if (!with_admin) continue;
    ArmCall<ResetMethod>(desk);
    ArmCall<OpenMethod>(desk);
    ArmCall<CloseMethod>(desk);
  }
}

WatchOriginsCall::WatchOriginsCall(OriginDesk& origins) : RpcCall(origins.desk), origins_(origins) {
  NotifyWhenDone();
  origins.origins.RequestWatchOrigins(&context_, &request_, &writer_, &desk_.cq, &desk_.cq, arrived_.Arm());
}

void WatchOriginsCall::OnArrived(bool ok) {
  if (!ok) return;
  new WatchOriginsCall(origins_);
  Arrived();
  interval_ = kDefaultInterval;
  if (request_.has_min_interval()) {
    if (const char* wrong = ReadDuration(request_.min_interval(), interval_)) {
      finished_called_ = true;
      return writer_.Finish(ToStatus(Bad("min_interval", wrong)), finished_.Arm());
    }
    interval_ = std::max(interval_, kLeastInterval);
  }
  begun_ = true;
  ending_ = ending_ || desk_.admission.draining();
  if (ending_) return GoOn();
  Look();
}

void WatchOriginsCall::Look() {
  looking_ = true;
  Hold();  // until OnList
  origins_.board.List({.host_contains = request_.host_contains(), .after = ""}, desk_.home,
                      [this](std::vector<OriginSnapshot> found) {
                        OnList(std::move(found));
                        Release();
                      });
}

void WatchOriginsCall::OnList(std::vector<OriginSnapshot> found) {
  looking_ = false;
  std::map<std::string, OriginSnapshot> now;
  std::vector<v1::WatchOriginsResponse> messages(1);
  for (OriginSnapshot& origin : found) {
    const auto told = told_.find(origin.name);
    if (told != told_.end() && !DiffersForWatchers(told->second, origin)) {
      now.insert(told_.extract(told));
      continue;
    }
    if (messages.back().origins_size() == static_cast<int>(kLargestWatchMessage)) messages.emplace_back();
    WriteOrigin(origin, *messages.back().add_origins());
    if (told != told_.end()) told_.erase(told);
    std::string name = origin.name;
    now.emplace(std::move(name), std::move(origin));
  }
  for (const auto& [name, origin] : told_) messages.back().add_forgotten(name);
  told_ = std::move(now);
  v1::WatchOriginsResponse& last = messages.back();
  last.set_snapshot_complete(!std::exchange(snapshot_told_, true));
  if (!last.snapshot_complete() && last.origins_size() == 0 && last.forgotten_size() == 0) messages.pop_back();
  std::reverse(messages.begin(), messages.end());
  pending_ = std::move(messages);
  GoOn();
}

void WatchOriginsCall::GoOn() {
  if (!begun_ || writing_ || looking_ || finished_called_) return;
  if (ending_) {
    // Else its tag comes.
    if (waiting_) return alarm_.Cancel();
    finished_called_ = true;
    return writer_.Finish(ToStatus(Draining{}), finished_.Arm());
  }
  if (!pending_.empty()) {
    writing_ = true;
    writer_.Write(pending_.back(), written_.Arm());
    pending_.pop_back();
    return;
  }
  if (std::exchange(waiting_, true)) return;
  alarm_.Set(&desk_.cq, std::chrono::system_clock::now() + interval_, alarm_rang_.Arm());
}

void WatchOriginsCall::OnAlarm(bool) {
  waiting_ = false;
  if (ending_) return GoOn();
  Look();
}

void WatchOriginsCall::OnWritten(bool ok) {
  writing_ = false;
  if (!ok) ending_ = true;
  GoOn();
}

void WatchOriginsCall::OnDrain() {
  ending_ = true;
  GoOn();
}

void WatchOriginsCall::OnCancelled() { OnDrain(); }

}  // namespace fetchd::server
