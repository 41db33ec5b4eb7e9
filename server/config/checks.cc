#include "config/checks.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "config/effective.h"
#include "config/proxies.h"
#include "config/scalar.h"
#include "model/ip_address.h"
#include "policy/proxy_choice.h"

namespace fetchd::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
namespace v1 = ::fetchd::config::v1;

// Attempts per second: one in 1,000 s.
constexpr double kLeastRate = 0.001;

class Checker {
 public:
  Checker(const ServerConfig& config, const KeyPlaces& places, absl::string_view file, Complaints& complaints)
      : config_(config), places_(places), file_(file), complaints_(complaints) {}

  void Listeners() {
    std::set<std::string> seen;
    for (const std::string& text : config_.listen()) {
      const Endpoint endpoint = *ParseEndpoint(text);
      if (!config_.tls().has_cert_file() && !config_.insecure_listen_anywhere() && !IsLoopback(endpoint.address)) {
        Complain({"listen"}, absl::StrCat("without tls, \"", text,
                                          "\" would let anyone who reaches it fetch what this machine can fetch; set "
                                          "tls.cert_file and tls.key_file, listen on 127.0.0.1, or set "
                                          "insecure_listen_anywhere: true if something else keeps strangers away"));
      }
      if (endpoint.port != 0 && !seen.insert(endpoint.ToString()).second) {
        Complain({"listen"}, absl::StrCat("\"", text, "\" is listed twice"));
      }
    }
    const Endpoint ops = *ParseEndpoint(config_.ops().listen());
    if (ops.port != 0 && seen.count(ops.ToString()) != 0) {
      Complain({"ops.listen", "listen"},
               absl::StrCat("\"", config_.ops().listen(), "\" is in listen too; the operator's port needs its own"));
    }
    if (!config_.admin().has_listen()) return;
    const Endpoint admin = *ParseEndpoint(config_.admin().listen());
    if (!IsLoopback(admin.address)) {
      Complain({"admin.listen"}, absl::StrCat("\"", config_.admin().listen(),
                                              "\" would let others than this machine's users set origins by hand; "
                                              "choose a loopback address such as 127.0.0.1:50052"));
    }
    if (admin.port != 0 && (seen.count(admin.ToString()) != 0 || admin.ToString() == ops.ToString())) {
      Complain({"admin.listen"}, absl::StrCat("\"", config_.admin().listen(),
                                              "\" is in listen or ops.listen too; operators need a port of their own"));
    }
  }

  void Tls() {
    const auto& tls = config_.tls();
    if (tls.has_cert_file() && !tls.has_key_file()) Complain({"tls.cert_file"}, "needs tls.key_file beside it");
    if (tls.has_key_file() && !tls.has_cert_file()) Complain({"tls.key_file"}, "needs tls.cert_file beside it");
    if (tls.has_client_ca_file() && !tls.has_cert_file()) {
      Complain({"tls.client_ca_file"},
               "needs tls.cert_file and tls.key_file: callers show certificates within TLS only");
    }
    if (!config_.upstream_tls().use_system_cas() && !config_.upstream_tls().has_ca_file()) {
      Complain({"upstream_tls.use_system_cas"},
               "false leaves no CA to trust, so no https fetch could succeed; set upstream_tls.ca_file");
    }
  }

  void Order() {
    NotMore("dns.min_ttl", "dns.max_ttl");
    NotMore("retry.initial_backoff", "retry.max_backoff");
    NotMore("breaker.open_time", "breaker.max_open_time");
    if (config_.concurrency().max() > 0) {
      NotMore("concurrency.min", "concurrency.max");
      NotMore("concurrency.max", "pool.max_connections_per_origin");
    }
    NotMore("pool.max_connections_per_origin", "pool.max_connections");
    NotMore("limits.max_response_field_bytes", "limits.max_response_head_bytes");
    NotMore("limits.batch_concurrency", "limits.max_in_flight");
    const Descriptor& timeouts = *v1::DefaultTimeouts::descriptor();
    for (int i = 0; i < timeouts.field_count(); ++i) {
      const std::string& name = timeouts.field(i)->name();
      if (v1::TimeoutCaps::descriptor()->FindFieldByName(name) == nullptr) continue;
      NotMore(absl::StrCat("timeouts.default.", name), absl::StrCat("timeouts.cap.", name));
    }
  }

  void Rates() {
    RatesIn(config_.rate_limit(), "rate_limit");
    for (int i = 0; i < config_.origins_size(); ++i) {
      RatesIn(config_.origins(i).rate_limit(), absl::StrCat("origins[", i, "].rate_limit"));
    }
  }

  void Origins() {
    std::map<std::string, int> rule_of;
    for (int i = 0; i < config_.origins_size(); ++i) {
      const v1::OriginRule& rule = config_.origins(i);
      const std::string path = absl::StrCat("origins[", i, "]");
      const std::string hosts = absl::StrCat(path, ".hosts");
      if (rule.hosts_size() == 0 && !places_.contains(hosts)) Complain({hosts, path}, "says which hosts; it is needed");
      for (const std::string& host : rule.hosts()) {
        const auto [other, fresh] = rule_of.try_emplace(host, i);
        if (fresh) continue;
        Complain({hosts}, absl::StrCat("\"", host, "\" is in origins[", other->second,
                                       "] too, so that here it would never match; take it out of one of them"));
      }
      const v1::OriginRule effective = EffectiveSections(config_, &rule, nullptr);
      SectionsOrder(effective, path);
      NotMoreIn(effective, path, "breaker.open_time", "breaker.max_open_time");
      if (effective.concurrency().max() > 0) {
        NotMoreIn(effective, path, "concurrency.min", "concurrency.max");
        NotMoreThanTop(effective, path, "concurrency.max", "pool.max_connections_per_origin");
      }
    }
  }

  void Profiles() {
    std::map<std::string, int> seen;
    for (int i = 0; i < config_.profiles_size(); ++i) {
      const v1::Profile& profile = config_.profiles(i);
      const std::string path = absl::StrCat("profiles[", i, "]");
      Named(profile.has_name(), profile.name(), "profiles", i, seen);
      SectionsOrder(EffectiveSections(config_, nullptr, &profile), path);
    }
  }

  void Callers() {
    std::map<std::string, int> seen;
    for (int i = 0; i < config_.callers_size(); ++i) {
      const v1::Caller& caller = config_.callers(i);
      const std::string path = absl::StrCat("callers[", i, "]");
      Named(caller.has_name(), caller.name(), "callers", i, seen);
      if (!caller.has_weight()) Complain({absl::StrCat(path, ".weight"), path}, "is needed: a whole number");
    }
  }

  void Proxies() {
    std::map<std::string, int> seen;
    for (int i = 0; i < config_.proxies_size(); ++i) {
      const v1::ProxyServer& proxy = config_.proxies(i);
      const std::string path = absl::StrCat("proxies[", i, "]");
      Named(proxy.has_name(), proxy.name(), "proxies", i, seen);
      if (proxy.name() == kDirectName) {
        Complain({absl::StrCat(path, ".name")}, "\"direct\" means no proxy; choose another name");
      }
      if (!proxy.has_url()) Complain({absl::StrCat(path, ".url"), path}, "is needed: where the proxy is");
      if (proxy.has_username() && !proxy.has_password_file()) {
        Complain({absl::StrCat(path, ".username")}, "needs password_file beside it");
      }
      if (proxy.has_password_file() && !proxy.has_username()) {
        Complain({absl::StrCat(path, ".password_file")}, "needs username beside it");
      }
      if (!proxy.has_username() || !proxy.has_url()) continue;
      if (const absl::Status status = CheckUsername(proxy.username(), ParseProxyUrl(proxy.url())->kind); !status.ok()) {
        Complain({absl::StrCat(path, ".username")}, status.message());
      }
    }
    if (config_.has_proxy()) KnownProxy(config_.proxy(), "proxy", seen);
    for (int i = 0; i < config_.origins_size(); ++i) {
      const v1::OriginRule& rule = config_.origins(i);
      if (rule.has_proxy()) KnownProxy(rule.proxy(), absl::StrCat("origins[", i, "].proxy"), seen);
    }
  }

  void Guard() {
    for (const std::string& cidr : config_.guard().allow_cidrs()) {
      const auto& denied = config_.guard().deny_cidrs();
      if (std::find(denied.begin(), denied.end(), cidr) != denied.end()) {
        Complain({"guard.allow_cidrs", "guard.deny_cidrs"},
                 absl::StrCat("\"", cidr, "\" is in guard.deny_cidrs too, which wins; take it out of one of them"));
      }
    }
  }

 private:
  // At the first of `keys` that is not a default. A key "origins[0]" only lends its place to the one before it.
  void Complain(std::initializer_list<std::string> keys, absl::string_view what) {
    for (const std::string& key : keys) {
      const auto place = places_.find(key);
      if (place == places_.end()) continue;
      complaints_.Add(place->second, absl::EndsWith(key, "]") ? *keys.begin() : key, what);
      return;
    }
    complaints_.Add(file_, *keys.begin(), what);
  }

  void RatesIn(const v1::RateLimit& limit, const std::string& path) {
    const auto check = [&](const char* key, double rate) {
      if (rate == 0 || rate >= kLeastRate) return;
      Complain({absl::StrCat(path, ".", key)},
               absl::StrCat("less than ", kLeastRate, " is not accepted, but for 0, which is no limit"));
    };
    check("per_second", limit.per_second());
    check("per_caller_per_second", limit.per_caller_per_second());
  }

  // Each item of a list needs a name of its own.
  void Named(bool has_name, const std::string& name, absl::string_view list, int index,
             std::map<std::string, int>& seen) {
    const std::string path = absl::StrCat(list, "[", index, "]");
    const std::string key = absl::StrCat(path, ".name");
    if (!has_name) return Complain({key, path}, "is needed: it says who is meant");
    const auto [other, fresh] = seen.try_emplace(name, index);
    if (!fresh) Complain({key}, absl::StrCat("\"", name, "\" is the name of ", list, "[", other->second, "] too"));
  }

  void KnownProxy(const std::string& name, const std::string& key, const std::map<std::string, int>& known) {
    if (name == kDirectName || known.count(name) != 0) return;
    Complain({key}, absl::StrCat("\"", name, "\" is the name of none of proxies, nor \"direct\""));
  }

  // What rules and profiles have in common.
  void SectionsOrder(const v1::OriginRule& effective, const std::string& path) {
    NotMoreIn(effective, path, "retry.initial_backoff", "retry.max_backoff");
    const Descriptor& timeouts = *v1::DefaultTimeouts::descriptor();
    for (int i = 0; i < timeouts.field_count(); ++i) {
      const std::string& name = timeouts.field(i)->name();
      NotMoreThanTop(effective, path, absl::StrCat("timeouts.", name), absl::StrCat("timeouts.cap.", name));
    }
  }

  struct Value {
    std::string text;
    int64_t measure = 0;
  };
  static Value Find(const Message& root, absl::string_view path) {
    const Message* message = &root;
    while (true) {
      const size_t dot = path.find('.');
      const FieldDescriptor& key = *message->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
      if (dot == absl::string_view::npos) {
        const std::string text = ValueText(*message, key);
        if (const auto duration = ParseDuration(text)) return {text, duration->count()};
        return {text, static_cast<int64_t>(ParseSize(text).value_or(0))};
      }
      message = &message->GetReflection()->GetMessage(*message, &key);
      path.remove_prefix(dot + 1);
    }
  }

  // Both are whole numbers, sizes or durations.
  void NotMore(const std::string& smaller, const std::string& larger) {
    const Value small = Find(config_, smaller);
    const Value large = Find(config_, larger);
    if (small.measure > large.measure) Complain({smaller, larger}, NotMoreText(smaller, small, larger, large));
  }
  // Two keys of the rule or profile at `path`; silent if neither is set there, as then the top has the contradiction.
  void NotMoreIn(const Message& effective, const std::string& path, const std::string& smaller,
                 const std::string& larger) {
    const std::string small_key = absl::StrCat(path, ".", smaller);
    const std::string large_key = absl::StrCat(path, ".", larger);
    if (!places_.contains(small_key) && !places_.contains(large_key)) return;
    const Value small = Find(effective, smaller);
    const Value large = Find(effective, larger);
    if (small.measure > large.measure) Complain({small_key, large_key}, NotMoreText(smaller, small, larger, large));
  }
  // A key of the rule or profile at `path`, and one at the top.
  void NotMoreThanTop(const Message& effective, const std::string& path, const std::string& smaller,
                      const std::string& larger) {
    const std::string key = absl::StrCat(path, ".", smaller);
    if (!places_.contains(key)) return;
    const Value small = Find(effective, smaller);
    const Value large = Find(config_, larger);
    if (small.measure > large.measure) Complain({key}, NotMoreText(smaller, small, larger, large));
  }
  static std::string NotMoreText(const std::string& smaller, const Value& small, const std::string& larger,
                                 const Value& large) {
    return absl::StrCat(smaller, " (", small.text, ") must not be more than ", larger, " (", large.text, ")");
  }

  const ServerConfig& config_;
  const KeyPlaces& places_;
  const absl::string_view file_;
  Complaints& complaints_;
};

}  // namespace

void CheckContradictions(const ServerConfig& config, const KeyPlaces& places, absl::string_view file,
                         Complaints& complaints) {
  Checker checker(config, places, file, complaints);
  checker.Listeners();
  checker.Tls();
  checker.Order();
  checker.Guard();
  checker.Rates();
  checker.Origins();
  checker.Profiles();
  checker.Callers();
  checker.Proxies();
}

}  // namespace fetchd::server
