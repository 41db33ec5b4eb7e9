// The gRPC server.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "fetch/admission.h"
#include "fetch/fetch_starter.h"
#include "net/task.h"
#include "rpc/cq_loop.h"
#include "rpc/fetch_ids.h"
#include "rpc/health.h"
#include "rpc/reflection.h"
#include "rpc/request_reader.h"
#include "rpc/rpc_call.h"

namespace fetchd::server {

class OriginBoard;
class ResumeTokens;
struct OriginDesk;

// TLS towards callers; PEM texts, not file names.
struct RpcTlsOptions {
  // The server's certificate, then the intermediate ones.
  std::string certificate_chain;
  std::string private_key;
  // If not empty, callers must show a certificate signed by one of these CAs (mTLS); its name is their identity.
  std::string client_ca;
};

struct RpcServerOptions {
  // IP literals with a port; port 0 takes a free one.
  std::vector<std::string> listen = {"127.0.0.1:50051"};
  // Unset: plain text.
  std::optional<RpcTlsOptions> tls;
  // Where operators reach AdminService besides everything else: a loopback address with a port; in plain text. Empty:
  // nowhere.
  std::string admin_listen;
  // Answers OriginService and AdminService; outlives the server. Null: these services are not there.
  OriginBoard* origins = nullptr;
  // The largest message from a caller.
  int max_receive_message_bytes = 4 * 1024 * 1024;
  // A connection that is silent for so long is asked whether it lives, also when it has no call.
  Duration keepalive_time = std::chrono::seconds(30);
  // And closed if it does not answer for so long.
  Duration keepalive_timeout = std::chrono::seconds(10);
  // A caller that pings more often than this without data is cut off.
  Duration min_ping_interval = std::chrono::seconds(10);
  // Connections are closed at this age, so that callers spread over replicas anew; calls have `grace` to end.
  Duration max_connection_age = std::chrono::minutes(30);
  Duration max_connection_age_grace = std::chrono::minutes(5);
  // How long fetchd says NOT_SERVING and still takes calls when it drains, so that load balancers turn away first.
  Duration drain_pause = std::chrono::seconds(2);
  // Event loops that the process runs, the server's included; see DrivenLoop::CoresFor.
  int loops = 1;
  AdmissionOptions admission;
  ReaderOptions reader;
};

// Serves fetchd.v1.FetchService, grpc.health.v1.Health and reflection. Its one thread runs the io_context it is given
// and gRPC; see CqLoop. Made, drained and destroyed by main, or by a test, on another thread.
class RpcServer {
 public:
  // Listens, and starts the thread; `adopt` is called on it first (EngineThread::Adopt). The references outlive the
  // server; `home` is run by nobody else, and is not stopped; `buffered_bytes` counts the bytes of bodies held for
  // callers. InvalidArgument if an address cannot be listened on or the TLS material is bad, naming it.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(RpcServerOptions options, FetchStarter& starter,
                                                          const ResumeTokens& tokens, asio::io_context& home,
                                                          absl::AnyInvocable<void()> adopt, SharedCell& buffered_bytes,
                                                          const Clock& clock = SystemClock());
  // Drains at once if nobody did, and waits for the thread: all other work of `home` must be about to end.
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // The ports, in the order of RpcServerOptions::listen.
  const std::vector<int>& ports() const { return ports_; }
  // That of RpcServerOptions::admin_listen; 0: there is none.
  int admin_port() const { return admin_port_; }
  // For gauges. Thread-safe.
  const Admission& admission() const { return admission_; }

  // Ends: says NOT_SERVING and pauses; then refuses new calls, lets lists and watches end early, waits for the calls
  // in progress until `deadline`, and cancels what is left. Afterwards no fetch of ours runs, and the thread goes on
  // until `home` has no more work. Blocks; once.
  void Drain(Instant deadline);

 private:
  RpcServer(RpcServerOptions options, FetchStarter& starter, const ResumeTokens& tokens, asio::io_context& home,
            SharedCell& buffered_bytes, const Clock& clock);
  absl::Status Listen();
  void ArmCalls();
  // Runs `fn` on the home thread and waits for it.
  void RunAtHome(absl::AnyInvocable<void()> fn);

  const RpcServerOptions options_;
  const Clock& clock_;
  asio::io_context& home_;
  Admission admission_;
  FetchIds ids_;
  RequestReader reader_;
  AsyncFetchService fetch_service_;
  AsyncReflectionService reflection_service_;
  std::unique_ptr<grpc::ServerCompletionQueue> cq_;
  std::unique_ptr<grpc::Server> server_;
  std::optional<RpcDesk> desk_;
  std::optional<HealthDesk> health_;
  std::unique_ptr<OriginDesk> origins_;
  std::optional<CqLoop> loop_;
  std::vector<int> ports_;
  int admin_port_ = 0;
  std::thread thread_;
  bool drained_ = false;
};

}  // namespace fetchd::server
