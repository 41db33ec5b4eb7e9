// bench_loops --loop=callback|two-threads|one-thread --config=FILE: fetchd's engine behind other arrangements of
// threads.
#include <iostream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/synchronization/mutex.h"
#include "config/load.h"
#include "config/room_options.h"
#include "fetch/fetcher.h"
#include "guard/address_guard.h"
#include "guard/url_guard.h"
#include "loop_server.h"
#include "ops/shutdown_signals.h"
#include "telemetry/access_log.h"

ABSL_FLAG(std::string, config, "",
          "as fetchd's; what is said of other RPCs, TLS to callers, ops and drain is not used");
ABSL_FLAG(
    std::string, loop, "one-thread",
    "callback: gRPC's callback API, its threads, and the engine's; two-threads: a thread for the completion queue, "
    "and the engine's; one-thread: both on one, as in fetchd");

namespace fetchd::server {
namespace {

int Serve(const RoomOptions& options, const std::string& loop) {
  ShutdownSignals signals;
  const Clock& clock = SystemClock();
  AccessLog access_log(options.access_log, clock, StdoutLines());
  const AddressGuard address_guard(options.address_guard);
  const UrlGuard url_guard(options.url_guard, address_guard);
  auto engine = Engine::Create(options.engine, address_guard, clock);
  if (!engine.ok()) {
    std::cerr << engine.status().message() << std::endl;
    return 1;
  }
  const bool logs_fetches = options.access_log.which != AccessLogOptions::Which::kNone;
  Fetcher fetcher(**engine, url_guard, logs_fetches ? &access_log : nullptr);
  FetchIds ids;
  Admission admission(options.rpc.admission);
  const RequestReader reader(options.rpc.reader, fetcher, ids);
  LoopDesk desk{.engine = **engine, .starter = fetcher, .admission = admission, .reader = reader, .clock = clock};

  (*engine)->Start(loop == "one-thread" ? 1 : 0);
  const LoopOptions listen{options.rpc.listen.front(), options.rpc.max_receive_message_bytes};
  auto server = loop == "callback" ? ServeByCallback(listen, desk) : ServeByQueue(listen, desk, loop == "two-threads");
  if (server != nullptr) {
    signals.Wait([] {});
    server->Stop();
  }
  (*engine)->Stop();
  if (server != nullptr) return 0;
  std::cerr << "cannot listen on " << listen.listen << std::endl;
  return 1;
}

int Main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  absl::ParseCommandLine(argc, argv);
  const std::string loop = absl::GetFlag(FLAGS_loop);
  if (loop != "callback" && loop != "two-threads" && loop != "one-thread") {
    std::cerr << "no such loop: " << loop << std::endl;
    return 64;
  }
  const auto config = LoadConfig(absl::GetFlag(FLAGS_config), {});
  const auto options = config.ok() ? MakeRoomOptions(*config) : config.status();
  if (options.ok()) return Serve(*options, loop);
  std::cerr << options.status().message() << std::endl;
  return 78;
}

}  // namespace
}  // namespace fetchd::server

int main(int argc, char** argv) { return fetchd::server::Main(argc, argv); }
