// grpc.health.v1.Health, on the completion queue of all other RPCs.
#pragma once

#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>

#include <optional>
#include <string_view>

#include "grpc/health/v1/health.grpc.pb.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

// gRPC ships a health service too, but runs it on threads and a queue of its own; these would take turns with our one
// thread at polling the sockets of all calls, and hand every event from thread to thread.
using AsyncHealthService = grpc::health::v1::Health::AsyncService;

// What the health service says. Owned by RpcServer; belongs to the home thread.
struct HealthDesk {
  explicit HealthDesk(RpcDesk& d) : desk(d) {}

  RpcDesk& desk;
  AsyncHealthService service;
  bool serving = true;

  // "" and the full names of our services are known.
  bool Knows(std::string_view name) const;
};

// Health.Check.
class HealthCheckCall final : public RpcCall {
 public:
  explicit HealthCheckCall(HealthDesk& health);

 private:
  void OnArrived(bool ok);
  void OnFinished(bool) {}
  void OnCancelled() override {}

  HealthDesk& health_;
  grpc::health::v1::HealthCheckRequest request_;
  grpc::ServerAsyncResponseWriter<grpc::health::v1::HealthCheckResponse> responder_{&context_};
  CallTag<HealthCheckCall> arrived_{this, &HealthCheckCall::OnArrived};
  CallTag<HealthCheckCall> finished_{this, &HealthCheckCall::OnFinished};
};

// Health.Watch: lasts until the caller cancels or fetchd drains.
class HealthWatchCall final : public RpcCall {
 public:
  explicit HealthWatchCall(HealthDesk& health);

  // The status may have changed.
  void OnHealth() override;
  void OnDrain() override;

 private:
  void OnArrived(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool) {}
  void OnCancelled() override;
  // Says what has not been said, or the end.
  void GoOn();

  HealthDesk& health_;
  grpc::health::v1::HealthCheckRequest request_;
  grpc::ServerAsyncWriter<grpc::health::v1::HealthCheckResponse> writer_{&context_};
  CallTag<HealthWatchCall> arrived_{this, &HealthWatchCall::OnArrived};
  CallTag<HealthWatchCall> written_{this, &HealthWatchCall::OnWritten};
  CallTag<HealthWatchCall> finished_{this, &HealthWatchCall::OnFinished};
  bool begun_ = false;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_called_ = false;
  std::optional<grpc::health::v1::HealthCheckResponse::ServingStatus> said_;
};

}  // namespace fetchd::server
