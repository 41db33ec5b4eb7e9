#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fetchd/options.h"
#include "fetchd/stream_range.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "fetchd/v1/origin_service.pb.h"

namespace fetchd {

// One FetchStream call. One thread may write while another reads; Cancel is good from any thread. Destroying it before
// its end cancels it.
class StreamCall {
 public:
  virtual ~StreamCall() = default;

  // Sends a message; blocks while fetchd takes nothing. False: the call has ended, Finish says how.
  virtual bool Write(const v1::FetchStreamRequest& message) = 0;
  // Half-closes. False: the call has ended.
  virtual bool WritesDone() = 0;
  // Waits for the next message. False: there is none, Finish says why.
  virtual bool Read(v1::FetchStreamResponse* message) = 0;
  // The status of the ended call. Once, after Read gave false.
  virtual absl::Status Finish() = 0;
  // Ends the call with CANCELLED.
  virtual void Cancel() = 0;
};

// A way to fetchd: the RPCs one to one. `Client` makes them handy. Implementations are safe for use by any number of
// threads at once. Users' tests take MockConnection (fetchd/mocks/mock_connection.h) in its place.
class Connection {
 public:
  virtual ~Connection() = default;

  virtual absl::StatusOr<v1::FetchResponse> Fetch(const v1::FetchRequest& request, const CallOptions& options) = 0;
  virtual StreamRange<v1::FetchBatchResponse> FetchBatch(const v1::FetchBatchRequest& request,
                                                         const CallOptions& options) = 0;
  virtual StreamRange<v1::FetchPagedResponse> FetchPaged(const v1::FetchPagedRequest& request,
                                                         const CallOptions& options) = 0;
  // Starts the call and sends `start`, its first message.
  virtual std::unique_ptr<StreamCall> FetchStream(const v1::FetchStreamStart& start, const CallOptions& options) = 0;
  // OriginService.
  virtual absl::StatusOr<v1::CheckUrlResponse> CheckUrl(const v1::CheckUrlRequest& request,
                                                        const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::ListOriginsResponse> ListOrigins(const v1::ListOriginsRequest& request,
                                                              const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::GetOriginResponse> GetOrigin(const v1::GetOriginRequest& request,
                                                          const CallOptions& options) = 0;
  virtual StreamRange<v1::WatchOriginsResponse> WatchOrigins(const v1::WatchOriginsRequest& request,
                                                             const CallOptions& options) = 0;
  // AdminService: of a connection to the operators' listener.
  virtual absl::StatusOr<v1::ResetOriginResponse> ResetOrigin(const v1::ResetOriginRequest& request,
                                                              const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::ForceOpenResponse> ForceOpen(const v1::ForceOpenRequest& request,
                                                          const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::ForceCloseResponse> ForceClose(const v1::ForceCloseRequest& request,
                                                            const CallOptions& options) = 0;
  // OK if fetchd says SERVING (grpc.health.v1), FAILED_PRECONDITION if it says something else.
  virtual absl::Status CheckHealth(const CallOptions& options) = 0;
};

// A connection by gRPC. Does not block: the first call connects. Keeps itself alive with pings (every 30 s, answer
// within 10 s, also while idle), so that a dead path is noticed before a call needs it.
std::shared_ptr<Connection> MakeConnection(const Options& options);

}  // namespace fetchd
