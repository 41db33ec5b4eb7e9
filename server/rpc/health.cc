#include "rpc/health.h"

#include <algorithm>

namespace fetchd::server {

using grpc::health::v1::HealthCheckResponse;

bool HealthDesk::Knows(std::string_view name) const {
  return name.empty() || std::find(desk.services.begin(), desk.services.end(), name) != desk.services.end();
}

HealthCheckCall::HealthCheckCall(HealthDesk& health) : RpcCall(health.desk), health_(health) {
  NotifyWhenDone();
  health.service.RequestCheck(&context_, &request_, &responder_, &desk_.cq, &desk_.cq, arrived_.Arm());
}

void HealthCheckCall::OnArrived(bool ok) {
  if (!ok) return;
  new HealthCheckCall(health_);
  Arrived();
  if (!health_.Knows(request_.service()))
    return responder_.FinishWithError({grpc::StatusCode::NOT_FOUND, "no such service"}, finished_.Arm());
  HealthCheckResponse response;
  response.set_status(health_.serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  responder_.Finish(response, grpc::Status::OK, finished_.Arm());
}

HealthWatchCall::HealthWatchCall(HealthDesk& health) : RpcCall(health.desk), health_(health) {
  NotifyWhenDone();
  health.service.RequestWatch(&context_, &request_, &writer_, &desk_.cq, &desk_.cq, arrived_.Arm());
}

void HealthWatchCall::OnArrived(bool ok) {
  if (!ok) return;
  new HealthWatchCall(health_);
  Arrived();
  begun_ = true;
  ending_ = ending_ || desk_.admission.draining();
  GoOn();
}

void HealthWatchCall::OnHealth() { GoOn(); }

void HealthWatchCall::OnDrain() {
  ending_ = true;
  GoOn();
}

void HealthWatchCall::OnCancelled() { OnDrain(); }

void HealthWatchCall::OnWritten(bool ok) {
  writing_ = false;
  if (!ok) ending_ = true;
  GoOn();
}

void HealthWatchCall::GoOn() {
  if (!begun_ || writing_ || finished_called_) return;
  HealthCheckResponse::ServingStatus status = HealthCheckResponse::SERVICE_UNKNOWN;
  if (health_.Knows(request_.service()))
    status = health_.serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  if (said_ != status && !cancelled_) {
    said_ = status;
    HealthCheckResponse response;
    response.set_status(status);
    writing_ = true;
    writer_.Write(response, written_.Arm());
    return;
  }
  if (!ending_) return;
  finished_called_ = true;
  writer_.Finish(ToStatus(Draining{}), finished_.Arm());
}

}  // namespace fetchd::server
