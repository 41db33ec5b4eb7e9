// fetchd: reads its configuration, puts the rooms together, serves until it is told to end, and drains.
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "config/file.h"
#include "config/load.h"
#include "config/policy_rules.h"
#include "config/reload.h"
#include "config/room_options.h"
#include "config/yaml_reader.h"
#include "engine/engine.h"
#include "fetch/admission.h"
#include "fetch/engine_board.h"
#include "fetch/fetcher.h"
#include "http/h2_session.h"
#include "ops/ops_server.h"
#include "ops/shutdown_signals.h"
#include "policy/policy_book.h"
#include "rpc/server.h"
#include "telemetry/metrics_page.h"

ABSL_FLAG(std::string, config, "", "the YAML file; without it everything has its default");
ABSL_FLAG(std::string, listen, "", "where callers reach fetchd, as 127.0.0.1:50051; several with commas between them");
ABSL_FLAG(std::string, ops_listen, "", "where /metrics, /livez and /readyz are, as 127.0.0.1:9464");
ABSL_FLAG(std::string, threads, "", "engine threads; 0: one less than there are cores, at least 1");
ABSL_FLAG(std::string, log_level, "", "debug, info, warning or error");
ABSL_FLAG(std::string, port_file, "",
          "a file to write grpc=PORT, ops=PORT and with admin.listen admin=PORT into, whole or not at all, once fetchd "
          "serves");
ABSL_FLAG(bool, check_config, false, "check the configuration and the files it names, print it as YAML, and exit");
ABSL_FLAG(std::string, check_url, "", "with --check_config: print what holds for fetches of this URL instead");
ABSL_FLAG(std::string, check_caller, "", "with --check_url: by this caller");
ABSL_FLAG(std::string, check_profile, "", "with --check_url: with this profile");

namespace fetchd::server {
namespace {

// Exit codes, as sysexits.h; docs/configuration.md lists them.
constexpr int kExitUsage = 64;
constexpr int kExitCannotListen = 69;
constexpr int kExitCannotWrite = 73;
constexpr int kExitBadConfig = 78;

int Complain(int exit_code, std::string_view what) {
  std::cerr << "fetchd: " << what << std::endl;
  return exit_code;
}

// Abseil ends the process with 1, both for a bad flag and for --help.
bool parsing_flags = false;
bool help_wanted = false;
void CorrectExitCode(int status, void*) {
  if (!parsing_flags || status != 1) return;
  std::cout.flush();
  _exit(help_wanted ? 0 : kExitUsage);
}

// Returns the arguments that are not flags.
std::vector<char*> ParseFlags(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "outbound HTTP for callers, by gRPC.\n\n  fetchd [--config=FILE] [FLAGS]\n\n"
      "A flag wins over the file. See docs/configuration.md.");
  absl::FlagsUsageConfig usage;
  usage.version_string = [] { return absl::StrCat("fetchd ", std::string(Version()), "\n"); };
  // By itself Abseil shows the flags of a file named like the program.
  usage.contains_help_flags = [](absl::string_view file) { return absl::EndsWith(file, "server/main.cc"); };
  absl::SetFlagsUsageConfig(usage);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    help_wanted = help_wanted || argument.rfind("--help", 0) == 0 || argument.rfind("-help", 0) == 0;
  }
  on_exit(CorrectExitCode, nullptr);
  parsing_flags = true;
  std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  parsing_flags = false;
  arguments.erase(arguments.begin());
  return arguments;
}

std::vector<Override> OverridesOfFlags() {
  std::vector<Override> overrides;
  const auto add = [&](const absl::Flag<std::string>& flag, const char* name, const char* key) {
    const std::string value = absl::GetFlag(flag);
    if (!value.empty()) overrides.push_back({.flag = name, .key = key, .value = value});
  };
  add(FLAGS_listen, "--listen", "listen");
  add(FLAGS_ops_listen, "--ops_listen", "ops.listen");
  add(FLAGS_threads, "--threads", "engine.threads");
  add(FLAGS_log_level, "--log_level", "log.level");
  return overrides;
}

// Each connection, of callers and to origins, is a file; the usual soft limit of 1024 is for programs that use select.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<const ThreadMetrics*> MetricsOf(Engine& engine) {
  std::vector<const ThreadMetrics*> threads;
  for (size_t i = 0; i < engine.size(); ++i) threads.push_back(&engine.thread(i).metrics());
  return threads;
}

// "127.0.0.1:50051, [::1]:50051", with the ports that were taken.
std::string Addresses(const std::vector<std::string>& listen, const std::vector<int>& ports) {
  std::vector<std::string> addresses;
  for (size_t i = 0; i < listen.size(); ++i) {
    addresses.push_back(absl::StrCat(listen[i].substr(0, listen[i].rfind(':') + 1), ports[i]));
  }
  return absl::StrJoin(addresses, ", ");
}

std::string NameOf(const std::optional<RpcTlsOptions>& tls) {
  if (!tls.has_value()) return "no";
  return tls->client_ca.empty() ? "yes" : "mutual";
}

// Into the file of --port_file, if there is one.
absl::Status TellPorts(int grpc_port, int ops_port, int admin_port) {
  const std::string path = absl::GetFlag(FLAGS_port_file);
  if (path.empty()) return absl::OkStatus();
  const std::string admin = admin_port == 0 ? "" : absl::StrCat("admin=", admin_port, "\n");
  absl::Status status = WriteFileAtomically(path, absl::StrCat("grpc=", grpc_port, "\nops=", ops_port, "\n", admin));
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("--port_file: ", status.message()));
}

constexpr char kChooseListen[] =
    "\nStop what listens there, or choose another address with listen in the configuration or with --listen.";
constexpr char kChooseOpsListen[] =
    "\nStop what listens there, or choose another address with ops.listen in the configuration or with --ops_listen.";

void Reload(ConfigReloader& reloader, Log& log) {
  const ReloadResult result = reloader.Reload();
  for (const std::string& complaint : result.complaints) {
    log.Write(LogLevel::kError, "configuration refused, the one before stays", {{"what", complaint}});
  }
  if (!result.ok()) return;
  log.Write(LogLevel::kInfo, "configuration reloaded", {{"file", absl::GetFlag(FLAGS_config)}});
  if (result.needs_restart.empty()) return;
  log.Write(LogLevel::kWarning, "configuration needs a restart for some keys",
            {{"keys", absl::StrJoin(result.needs_restart, ",")}});
}

// Everything from here to the return is one process's life: made in the order of need, ended in the reverse one.
int Serve(const RoomOptions& options, const ServerConfig& config) {
  ShutdownSignals signals;
  RaiseFileLimit();
  const Clock& clock = SystemClock();
  const WallTime started_at = clock.WallNow();
  Log log(options.log, clock, StderrLines());
  AccessLog access_log(options.access_log, clock, StdoutLines());

  PolicySource policies(std::make_shared<const PolicyBook>(options.policies));
  ConfigReloader reloader(absl::GetFlag(FLAGS_config), OverridesOfFlags(), config, policies);

  const AddressGuard address_guard(options.address_guard);
  const UrlGuard url_guard(options.url_guard, address_guard);
  EngineOptions engine_options = options.engine;
  engine_options.policies = &policies;
  auto engine = Engine::Create(engine_options, address_guard, clock);
  if (!engine.ok()) return Complain(kExitBadConfig, std::string(engine.status().message()));
  // Without an observer a fetch need not be put into words at all.
  const bool logs_fetches = options.access_log.which != AccessLogOptions::Which::kNone;
  CookieStore cookies(options.sessions, clock);
  Fetcher fetcher(**engine, url_guard, logs_fetches ? &access_log : nullptr, &cookies);
  const ResumeTokens tokens(options.tokens);

  std::atomic<bool> ready = false;
  OpsPages pages;
  pages.metrics_content_type = std::string(kMetricsContentType);
  pages.ready = [&ready] { return ready.load(); };
  // The door is made later and ends before the page does.
  std::mutex door_mutex;
  const Admission* door = nullptr;
  const auto shed = [&door](Admission::Verdict verdict) {
    std::array<int64_t, Admission::kPriorities> refused{};
    if (door == nullptr) return refused;
    for (const Priority priority : {Priority::kInteractive, Priority::kNormal, Priority::kBulk})
      refused[static_cast<size_t>(priority)] = door->refused(verdict, priority);
    return refused;
  };
  pages.metrics = [&] {
    const std::lock_guard lock(door_mutex);
    return RenderMetrics({.threads = MetricsOf(**engine),
                          .process = ProcessStats::Read(),
                          .started_at = started_at,
                          .now = clock.WallNow(),
                          .access_log_dropped = access_log.dropped(),
                          .config_reloads_ok = reloader.ok_count(),
                          .config_reloads_refused = reloader.refused_count(),
                          .shed_in_flight = shed(Admission::Verdict::kTooMany),
                          .shed_body_bytes = shed(Admission::Verdict::kTooManyBytes),
                          .shed_caller = shed(Admission::Verdict::kTooManyOfCaller),
                          .held_body_bytes = fetcher.held_bytes(),
                          .ready = ready.load()});
  };
  const auto ops = OpsServer::Start(options.ops, std::move(pages));
  if (!ops.ok()) return Complain(kExitCannotListen, absl::StrCat(ops.status().message(), kChooseOpsListen));

  // rpc/ runs the first engine thread's loop beside its own queue, so that a fetch of that thread changes no thread.
  EngineThread& home = (*engine)->thread(0);
  (*engine)->Start(1);
  RpcServerOptions rpc_options = options.rpc;
  rpc_options.reader.policies = &policies;
  EngineBoard board(**engine, address_guard, log);
  rpc_options.origins = &board;
  auto rpc = RpcServer::Start(
      std::move(rpc_options), fetcher, tokens, home.io(), [&home] { home.Adopt(); }, home.metrics().buffered_bytes,
      clock);
  if (!rpc.ok()) {
    (*engine)->Stop();
    return Complain(kExitCannotListen, absl::StrCat(rpc.status().message(), kChooseListen));
  }
  const auto show_door = [&](const Admission* now) {
    const std::lock_guard lock(door_mutex);
    door = now;
  };
  show_door(&(*rpc)->admission());
  ready = true;
  log.Write(
      LogLevel::kInfo,
      absl::StrCat("fetchd listening on ", Addresses(options.rpc.listen, (*rpc)->ports()), ", ops on ",
                   (*ops)->endpoint().ToString()),
      {{"version", std::string(Version())},
       {"threads", absl::StrCat((*engine)->size())},
       {"tls", NameOf(options.rpc.tls)},
       {"nghttp2", Nghttp2Version()},
       {"admin", (*rpc)->admin_port() == 0 ? "no" : Addresses({options.rpc.admin_listen}, {(*rpc)->admin_port()})}});

  const absl::Status told = TellPorts((*rpc)->ports().front(), (*ops)->endpoint().port, (*rpc)->admin_port());
  const int exit_code = told.ok() ? 0 : Complain(kExitCannotWrite, std::string(told.message()));
  Duration drain_time{};
  if (told.ok()) {
    const int signal = signals.Wait([&] { Reload(reloader, log); });
    log.Write(LogLevel::kInfo, "draining",
              {{"signal", strsignal(signal)}, {"in_flight", absl::StrCat((*rpc)->admission().in_flight())}});
    drain_time = options.drain_time;
  }
  ready = false;
  const Instant began = clock.Now();
  (*rpc)->Drain(After(began, drain_time));
  // The home loop ends when the engine has no more work for it; then ~RpcServer joins its thread.
  (*engine)->Stop();
  show_door(nullptr);
  rpc->reset();
  log.Write(LogLevel::kInfo, "drained", {{"seconds", absl::StrCat(ToSeconds(clock.Now() - began))}});
  return exit_code;
}

// --check_config, once nothing was found wrong.
int ShowConfig(const ServerConfig& config) {
  const PolicyQuestion question = {.url = absl::GetFlag(FLAGS_check_url),
                                   .caller = absl::GetFlag(FLAGS_check_caller),
                                   .profile = absl::GetFlag(FLAGS_check_profile)};
  if (question.url.empty()) {
    std::cout << ToYaml(config);
    return 0;
  }
  const auto policy = EffectivePolicyYaml(config, question);
  if (!policy.ok()) return Complain(kExitUsage, std::string(policy.status().message()));
  std::cout << *policy;
  return 0;
}

// Flags that mean nothing without another one.
std::string LonelyFlag() {
  const bool url = !absl::GetFlag(FLAGS_check_url).empty();
  if (url && !absl::GetFlag(FLAGS_check_config)) return "--check_url needs --check_config";
  if (!url && !absl::GetFlag(FLAGS_check_caller).empty()) return "--check_caller needs --check_url";
  if (!url && !absl::GetFlag(FLAGS_check_profile).empty()) return "--check_profile needs --check_url";
  return "";
}

int Main(int argc, char** argv) {
  // It costs each lock a look into a graph, and the locks here are leaves.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const std::vector<char*> arguments = ParseFlags(argc, argv);
  if (!arguments.empty()) {
    return Complain(kExitUsage, absl::StrCat("unexpected argument \"", arguments.front(), "\"; see --help"));
  }
  if (const std::string lonely = LonelyFlag(); !lonely.empty()) return Complain(kExitUsage, lonely);
  const auto config = LoadConfig(absl::GetFlag(FLAGS_config), OverridesOfFlags());
  if (!config.ok()) return Complain(kExitBadConfig, std::string(config.status().message()));
  const auto options = MakeRoomOptions(*config);
  if (!options.ok()) return Complain(kExitBadConfig, std::string(options.status().message()));
  if (absl::GetFlag(FLAGS_check_config)) return ShowConfig(config->config);
  return Serve(*options, config->config);
}

}  // namespace
}  // namespace fetchd::server

int main(int argc, char** argv) { return fetchd::server::Main(argc, argv); }
