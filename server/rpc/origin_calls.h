// OriginService and AdminService.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fetch/origin_board.h"
#include "fetchd/v1/origin_service.grpc.pb.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

using AsyncOriginService = v1::OriginService::AsyncService;
using AsyncAdminService = v1::AdminService::AsyncService;

// What the calls of both services work with. Owned by RpcServer; belongs to the home thread.
struct OriginDesk {
  OriginDesk(RpcDesk& d, OriginBoard& b) : desk(d), board(b) {}

  RpcDesk& desk;
  // Outlives the desk.
  OriginBoard& board;
  AsyncOriginService origins;
  AsyncAdminService admin;
};

// Has calls of every method wait to be called: those of OriginService, and of AdminService if `with_admin`.
void ArmOriginCalls(OriginDesk& desk, bool with_admin);

// A unary call that the board answers. See RpcCall for ownership and thread. `Method` has the types Request and
// Response and says how it is requested and what is done:
//   static void Arm(OriginDesk&, grpc::ServerContext*, Request*, Responder*, grpc::ServerCompletionQueue*, void* tag);
//   static void Run(BoardCall<Method>& call);  // ends in call.Answer or call.Refuse, at once or later
template <typename Method>
class BoardCall final : public RpcCall {
 public:
  using Request = typename Method::Request;
  using Response = typename Method::Response;
  using Responder = grpc::ServerAsyncResponseWriter<Response>;

  explicit BoardCall(OriginDesk& origins) : RpcCall(origins.desk), origins_(origins) {
    NotifyWhenDone();
    Method::Arm(origins, &context_, &request, &responder_, &desk_.cq, arrived_.Arm());
  }

  // For Method::Run. Until the end, the call stays.
  void Answer(const Response& response) {
    responder_.Finish(response, grpc::Status::OK, finished_.Arm());
    Release();
  }
  void Refuse(const Refusal& refusal) { End(ToStatus(refusal)); }
  void End(const grpc::Status& status) {
    responder_.FinishWithError(status, finished_.Arm());
    Release();
  }
  OriginBoard& board() { return origins_.board; }
  RpcDesk& desk() { return desk_; }
  const grpc::ServerContext& context() const { return context_; }
  using RpcCall::Admit;
  using RpcCall::Facts;

  Request request;

 private:
  void OnArrived(bool ok) {
    if (!ok) return;
    new BoardCall(origins_);
    Arrived();
    Hold();  // until Answer or End
    if (desk_.admission.draining()) return Refuse(Draining{});
    Method::Run(*this);
  }
  void OnFinished(bool) {}
  // What was asked is soon answered; nobody takes it.
  void OnCancelled() override {}

  OriginDesk& origins_;
  Responder responder_{&context_};
  CallTag<BoardCall> arrived_{this, &BoardCall::OnArrived};
  CallTag<BoardCall> finished_{this, &BoardCall::OnFinished};
};

// WatchOrigins: looks at the board each interval, while its caller takes what it is sent.
class WatchOriginsCall final : public RpcCall {
 public:
  explicit WatchOriginsCall(OriginDesk& origins);

  void OnDrain() override;

 private:
  void OnArrived(bool ok);
  void OnWritten(bool ok);
  void OnAlarm(bool ok);
  void OnFinished(bool) {}
  void OnCancelled() override;
  void Look();
  void OnList(std::vector<OriginSnapshot> found);
  // Writes what is to be written, or waits for the next look, or ends.
  void GoOn();

  OriginDesk& origins_;
  v1::WatchOriginsRequest request_;
  grpc::ServerAsyncWriter<v1::WatchOriginsResponse> writer_{&context_};
  CallTag<WatchOriginsCall> arrived_{this, &WatchOriginsCall::OnArrived};
  CallTag<WatchOriginsCall> written_{this, &WatchOriginsCall::OnWritten};
  CallTag<WatchOriginsCall> alarm_rang_{this, &WatchOriginsCall::OnAlarm};
  CallTag<WatchOriginsCall> finished_{this, &WatchOriginsCall::OnFinished};
  grpc::Alarm alarm_;
  Duration interval_{};
  // What the caller was told, by name.
  std::map<std::string, OriginSnapshot> told_;
  // To be written, the last one first.
  std::vector<v1::WatchOriginsResponse> pending_;
  bool snapshot_told_ = false;
  bool begun_ = false;
  bool looking_ = false;
  bool writing_ = false;
  bool waiting_ = false;
  bool ending_ = false;
  bool finished_called_ = false;
};

}  // namespace fetchd::server
