#include "config/checks.h"

#include <algorithm>
#include <initializer_list>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "config/scalar.h"
#include "model/ip_address.h"

namespace fetchd::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

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
    NotMore("pool.max_connections_per_origin", "pool.max_connections");
    NotMore("limits.max_response_field_bytes", "limits.max_response_head_bytes");
    NotMore("limits.batch_concurrency", "limits.max_in_flight");
    const Descriptor& timeouts = *::fetchd::config::v1::DefaultTimeouts::descriptor();
    for (int i = 0; i < timeouts.field_count(); ++i) {
      const std::string& name = timeouts.field(i)->name();
      if (::fetchd::config::v1::TimeoutCaps::descriptor()->FindFieldByName(name) == nullptr) continue;
      NotMore(absl::StrCat("timeouts.default.", name), absl::StrCat("timeouts.cap.", name));
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
  // At the first of `keys` that is not a default.
  void Complain(std::initializer_list<std::string> keys, absl::string_view what) {
    for (const std::string& key : keys) {
      const auto place = places_.find(key);
      if (place == places_.end()) continue;
      complaints_.Add(place->second, key, what);
      return;
    }
    complaints_.Add(file_, *keys.begin(), what);
  }

  struct Value {
    std::string text;
    int64_t measure = 0;
  };
  Value Find(absl::string_view path) const {
    const Message* message = &config_;
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

  // Both are numbers, sizes or durations.
  void NotMore(const std::string& smaller, const std::string& larger) {
    const Value small = Find(smaller);
    const Value large = Find(larger);
    if (small.measure <= large.measure) return;
    Complain({smaller, larger},
             absl::StrCat(smaller, " (", small.text, ") must not be more than ", larger, " (", large.text, ")"));
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
}

}  // namespace fetchd::server
