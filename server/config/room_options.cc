#include "config/room_options.h"

#include <algorithm>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "config/durations.h"
#include "config/file.h"
#include "config/pem.h"
#include "config/proxies.h"
#include "config/scalar.h"
#include "config/yaml_reader.h"

namespace fetchd::server {
namespace {

namespace v1 = ::fetchd::config::v1;

constexpr size_t kMaxPemBytes = size_t{4} << 20;
constexpr size_t kMaxPasswordFileBytes = 4096;

// Reads the files that the configuration names, and complains at the key that names them.
class FileReader {
 public:
  explicit FileReader(const KeyPlaces& places) : places_(places) {}

  std::string Certificates(const std::string& key, const std::string& path) {
    std::string pem = Take(key, ReadFile(path, kMaxPemBytes));
    if (!pem.empty()) Check(key, path, CheckCertificates(pem));
    return pem;
  }
  std::string PrivateKey(const std::string& key, const std::string& path, const std::string& certificate_chain) {
    std::string pem = Take(key, ReadFile(path, kMaxPemBytes));
    // Without a good certificate that was complained about already.
    if (!pem.empty() && CheckCertificates(certificate_chain).ok()) {
      Check(key, path, CheckKeyPair(certificate_chain, pem));
    }
    return pem;
  }
  std::string ResumeTokenKey(const std::string& key, const std::string& path) {
    return Take(key, LoadResumeTokenKey(path));
  }
  // Gives a proxy the password in a file.
  void Password(const std::string& key, const std::string& path, Proxy& proxy) {
    const std::string password = Take(key, ReadFile(path, kMaxPasswordFileBytes));
    if (!password.empty()) Check(key, path, SetPassword(password, proxy));
  }
  absl::Status status() const {
    return complaints_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(complaints_.Text());
  }

 private:
  std::string Take(const std::string& key, absl::StatusOr<std::string> text) {
    if (!text.ok()) complaints_.Add(places_.at(key), key, text.status().message());
    if (text.ok() && text->empty()) complaints_.Add(places_.at(key), key, "the file is empty");
    return text.ok() ? *std::move(text) : "";
  }
  void Check(const std::string& key, const std::string& path, const absl::Status& status) {
    if (!status.ok()) complaints_.Add(places_.at(key), key, absl::StrCat(path, " ", status.message()));
  }

  const KeyPlaces& places_;
  Complaints complaints_;
};

RpcTlsOptions MakeTls(const v1::Tls& tls, FileReader& files) {
  RpcTlsOptions options;
  options.certificate_chain = files.Certificates("tls.cert_file", tls.cert_file());
  options.private_key = files.PrivateKey("tls.key_file", tls.key_file(), options.certificate_chain);
  if (tls.has_client_ca_file()) options.client_ca = files.Certificates("tls.client_ca_file", tls.client_ca_file());
  return options;
}

LogLevel ToLevel(v1::Log::Level level) {
  switch (level) {
    case v1::Log::LEVEL_DEBUG:
      return LogLevel::kDebug;
    case v1::Log::LEVEL_WARNING:
      return LogLevel::kWarning;
    case v1::Log::LEVEL_ERROR:
      return LogLevel::kError;
    default:
      return LogLevel::kInfo;
  }
}

AccessLogOptions::Which ToWhich(v1::Log::Access access) {
  switch (access) {
    case v1::Log::ACCESS_FAILURES:
      return AccessLogOptions::Which::kFailures;
    case v1::Log::ACCESS_NONE:
      return AccessLogOptions::Which::kNone;
    default:
      return AccessLogOptions::Which::kAll;
  }
}

void SetLogs(const v1::Log& log, RoomOptions& options) {
  options.log.level = ToLevel(log.level());
  options.log.format = log.format() == v1::Log::FORMAT_JSON ? LogFormat::kJson : LogFormat::kLogfmt;
  options.access_log.format = options.log.format;
  options.access_log.which = ToWhich(log.access());
  options.access_log.request_headers = {log.request_headers().begin(), log.request_headers().end()};
}

void SetGuards(const v1::Guard& guard, RoomOptions& options) {
  for (const std::string& text : guard.allow_cidrs()) options.address_guard.allow.push_back(*Cidr::Parse(text));
  for (const std::string& text : guard.deny_cidrs()) options.address_guard.deny.push_back(*Cidr::Parse(text));
  for (const std::string& text : guard.allow_proxy_cidrs()) {
    options.address_guard.allow_proxies.push_back(*Cidr::Parse(text));
  }
  for (const std::string& text : guard.allowed_ports()) {
    const auto [first, last] = *ParsePorts(text);
    options.url_guard.allowed_ports.push_back({.first = first, .last = last});
  }
}

void SetEngine(const ServerConfig& config, EngineOptions& engine) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = static_cast<int>(config.engine().threads());
  // One core is left to gRPC and the kernel.
  engine.threads = threads > 0 ? threads : std::clamp(cores - 1, 1, 64);

  const v1::Pool& pool = config.pool();
  engine.pool.max_per_origin = pool.max_connections_per_origin();
  engine.pool.max_total = std::max<size_t>(1, pool.max_connections() / static_cast<size_t>(engine.threads));
  engine.pool.max_queue = pool.max_queue_per_origin();
  engine.pool.idle_timeout = ToDuration(pool.idle_timeout());
  engine.pool.h2.max_streams = pool.max_streams_per_connection();
  engine.pool.max_lifetime = ToDuration(pool.max_lifetime());

  const v1::Limits& limits = config.limits();
  engine.http.max_head_bytes = limits.max_response_head_bytes();
  engine.http.max_field_bytes = limits.max_response_field_bytes();
  engine.http.max_header_count = limits.max_response_fields();
  engine.http.max_trailer_bytes = limits.max_response_trailer_bytes();

  engine.resolver.servers = {config.dns().servers().begin(), config.dns().servers().end()};
  engine.resolver.hosts_file = config.dns().hosts_file();
  engine.resolver.min_ttl = ToDuration(config.dns().min_ttl());
  engine.resolver.max_ttl = ToDuration(config.dns().max_ttl());
  engine.resolver.negative_ttl = ToDuration(config.dns().negative_ttl());
  engine.resolver.max_entries = config.dns().max_cache_entries();

  engine.tls.use_system_cas = config.upstream_tls().use_system_cas();
  engine.tls.ca_file = config.upstream_tls().ca_file();
}

void SetProxies(const ServerConfig& config, FileReader& files, PolicyRules& rules) {
  for (int i = 0; i < config.proxies_size(); ++i) {
    if (!config.proxies(i).has_password_file()) continue;
    std::shared_ptr<const Proxy>& shared = rules.proxies[static_cast<size_t>(i)];
    Proxy proxy = *shared;
    files.Password(absl::StrCat("proxies[", i, "].password_file"), config.proxies(i).password_file(), proxy);
    shared = std::make_shared<const Proxy>(std::move(proxy));
  }
}

void SetReader(const ServerConfig& config, ReaderOptions& reader) {
  reader.max_unary_body_bytes = config.limits().max_unary_body_bytes();
  reader.max_selected_body_bytes = config.limits().max_selected_body_bytes();
  reader.max_batch_items = config.limits().max_batch_items();
  reader.batch_concurrency = config.limits().batch_concurrency();
  reader.max_pages = config.limits().max_pages();
}

}  // namespace

absl::StatusOr<RoomOptions> MakeRoomOptions(const LoadedConfig& loaded) {
  const ServerConfig& config = loaded.config;
  RoomOptions options;
  SetLogs(config.log(), options);
  SetGuards(config.guard(), options);
  SetEngine(config, options.engine);
  SetReader(config, options.rpc.reader);
  options.policies = MakePolicyRules(config);
  options.rpc.listen = {config.listen().begin(), config.listen().end()};
  options.rpc.loops = options.engine.threads;
  options.rpc.admin_listen = config.admin().listen();
  options.rpc.drain_pause = ToDuration(config.drain().pause());
  options.rpc.admission.max_in_flight = config.limits().max_in_flight();
  options.rpc.admission.max_in_flight_per_caller = config.limits().max_in_flight_per_caller();
  options.rpc.admission.max_body_bytes = static_cast<int64_t>(config.limits().max_body_bytes());
  options.drain_time = options.rpc.drain_pause + ToDuration(config.drain().deadline());
  options.ops.listen = *ParseEndpoint(config.ops().listen());
  options.tokens.ttl = ToDuration(config.paging().resume_token_ttl());

  options.sessions.ttl = ToDuration(config.sessions().ttl());
  options.sessions.max_jars = config.sessions().max_jars();
  options.sessions.max_jars_per_caller = config.sessions().max_jars_per_caller();
  options.sessions.max_bytes = config.sessions().max_bytes();

  FileReader files(loaded.places);
  if (config.tls().has_cert_file()) options.rpc.tls = MakeTls(config.tls(), files);
  if (config.upstream_tls().has_ca_file()) files.Certificates("upstream_tls.ca_file", config.upstream_tls().ca_file());
  if (config.paging().has_resume_token_key_file()) {
    options.tokens.key = files.ResumeTokenKey("paging.resume_token_key_file", config.paging().resume_token_key_file());
  }
  SetProxies(config, files, options.policies);
  if (absl::Status status = files.status(); !status.ok()) return status;
  return options;
}

}  // namespace fetchd::server
