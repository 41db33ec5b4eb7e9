// Every kind of mistake is refused with its place, its key and what would be accepted.
#include <gtest/gtest.h>

#include <string>

#include "config/load.h"

namespace fetchd::server {
namespace {

struct Row {
  const char* yaml;
  // What the message must begin with: place and key.
  const char* start;
  // What else it must say.
  const char* says;
};

const Row kRows[] = {
    // Not YAML, or of a wrong shape.
    {"listen: [", "f.yaml:1: (top): ", "not valid YAML"},
    {"ops:\n  listen: 127.0.0.1:1\n bad: 1\n", "f.yaml:3: (top): ", "not valid YAML"},
    {"- listen\n", "f.yaml:1: (top): ", "needs a mapping of keys, not a list"},
    {"just words\n", "f.yaml:1: (top): ", "needs a mapping of keys, not a single value"},
    {"pool:\n---\ndns:\n", "f.yaml:", "a second YAML document"},
    {"[a, b]: 1\n", "f.yaml:1: (top): ", "a key must be a plain name"},
    {"\npool: 5\n", "f.yaml:2: pool: ", "needs a mapping of keys, not a single value"},
    {"pool: [1]\n", "f.yaml:1: pool: ", "needs a mapping of keys, not a list"},
    // Unknown keys.
    {"lissen: [\"127.0.0.1:1\"]\n", "f.yaml:1: lissen: ", "unknown key; did you mean listen?"},
    {"pool:\n  idle_timout: 5s\n", "f.yaml:2: pool.idle_timout: ", "did you mean pool.idle_timeout?"},
    {"\ntimeouts:\n  default:\n    totl: 5s\n",
     "f.yaml:4: timeouts.default.totl: ", "did you mean timeouts.default.total?"},
    {"max_batch_items: 5\n", "f.yaml:1: max_batch_items: ", "did you mean limits.max_batch_items?"},
    {"tls:\n  insecure_skip_verify: true\n",
     "f.yaml:2: tls.insecure_skip_verify: ", "unknown key; accepted here: cert_file, key_file, client_ca_file"},
    {"user_agent: me\n", "f.yaml:1: user_agent: ", "unknown key; accepted here: listen, "},
    {"Listen: [\"127.0.0.1:1\"]\n", "f.yaml:1: Listen: ", "did you mean listen?"},
    {"pool.idle_timeout: 5s\n", "f.yaml:1: pool.idle_timeout: ", "unknown key"},
    // Repeated keys.
    {"engine:\n  threads: 1\n  threads: 2\n", "f.yaml:3: engine.threads: ", "a second time; the first is in line 2"},
    {"ops:\nengine:\nops:\n", "f.yaml:3: ops: ", "a second time; the first is in line 1"},
    // Wrong types.
    {"engine:\n  threads: many\n", "f.yaml:2: engine.threads: ", "\"many\" is not a whole number, from 0 to 64"},
    {"engine:\n  threads: 1.5\n", "f.yaml:2: engine.threads: ", "not a whole number"},
    {"engine:\n  threads: -1\n", "f.yaml:2: engine.threads: ", "not a whole number"},
    {"engine:\n  threads: 0x10\n", "f.yaml:2: engine.threads: ", "not a whole number"},
    {"engine:\n  threads: [1]\n", "f.yaml:2: engine.threads: ", "not a list"},
    {"engine:\n  threads:\n", "f.yaml:2: engine.threads: ", "not nothing"},
    {"engine:\n  threads: {a: 1}\n", "f.yaml:2: engine.threads: ", "not a mapping"},
    {"insecure_listen_anywhere: yes\n", "f.yaml:1: insecure_listen_anywhere: ", "\"yes\" is not true or false"},
    {"listen: 127.0.0.1:1\n", "f.yaml:1: listen: ", "needs a list, not a single value"},
    {"listen:\n  - {port: 1}\n", "f.yaml:2: listen[0]: ", "not a mapping"},
    {"listen:\n", "f.yaml:1: listen: ", "needs a list, not nothing"},
    // Proxies.
    {"proxies: [{url: \"http://h:1\"}]\n", "f.yaml:1: proxies[0].name: ", "is needed"},
    {"proxies: [{name: a}]\n", "f.yaml:1: proxies[0].url: ", "is needed"},
    {"proxies: [{name: a, url: \"https://h:1\"}]\n", "f.yaml:1: proxies[0].url: ", "TLS to a proxy is not supported"},
    {"proxies:\n  - {name: a, url: \"http://h:1\"}\n  - {name: a, url: \"http://h:2\"}\n",
     "f.yaml:3: proxies[1].name: ", "\"a\" is the name of proxies[0] too"},
    {"proxies: [{name: direct, url: \"http://h:1\"}]\n", "f.yaml:1: proxies[0].name: ", "means no proxy"},
    {"proxies: [{name: a, url: \"http://h:1\", username: me}]\n",
     "f.yaml:1: proxies[0].username: ", "needs password_file"},
    {"proxies: [{name: a, url: \"http://h:1\", password_file: /f}]\n",
     "f.yaml:1: proxies[0].password_file: ", "needs username"},
    {"proxies: [{name: a, url: \"http://h:1\", username: \"a:b\", password_file: /f}]\n",
     "f.yaml:1: proxies[0].username: ", "must not have a colon"},
    {"proxies: [{name: a, url: \"socks5://h:1\", username: \"a\\nb\", password_file: /f}]\n",
     "f.yaml:1: proxies[0].username: ", "without control characters"},
    {"proxies: [{name: a, url: \"http://h:1\", no_proxy: [\"a*b\"]}]\n",
     "f.yaml:1: proxies[0].no_proxy[0]: ", "a * may only stand alone"},
    {"proxies: [{name: a, url: \"http://h:1\", names: local}]\n",
     "f.yaml:1: proxies[0].names: ", "pinned, checked, remote"},
    {"proxies: [{name: a, url: \"http://h:1\", handshake_timeout: 10m}]\n",
     "f.yaml:1: proxies[0].handshake_timeout: ", "from 1ms to 5m"},
    {"proxy: nobody\n", "f.yaml:1: proxy: ", "\"nobody\" is the name of none of proxies, nor \"direct\""},
    {"origins: [{hosts: [h], proxy: nobody}]\n", "f.yaml:1: origins[0].proxy: ", "is the name of none of proxies"},
    // Wrong formats.
    {"listen:\n  - 127.0.0.1:1\n  - localhost:2\n",
     "f.yaml:3: listen[1]: ", "\"localhost:2\" is not an IP address with a port"},
    {"listen: [50051]\n", "f.yaml:1: listen[0]: ", "not an IP address with a port"},
    {"listen: ['::1:50051']\n", "f.yaml:1: listen[0]: ", "[::1]:50051"},
    {"ops:\n  listen: 127.0.0.1:99999\n", "f.yaml:2: ops.listen: ", "not an IP address with a port"},
    {"dns:\n  servers: [dns.example]\n", "f.yaml:2: dns.servers[0]: ", "with or without a port"},
    {"dns:\n  hosts_file: ''\n", "f.yaml:2: dns.hosts_file: ", "not the path of a file"},
    {"guard:\n  allow_cidrs: [10.1.2.3/8]\n", "f.yaml:2: guard.allow_cidrs[0]: ", "without host bits"},
    {"guard:\n  deny_cidrs: [example.com]\n", "f.yaml:2: guard.deny_cidrs[0]: ", "not an address block"},
    {"guard:\n  allowed_ports: [443, 90-80]\n", "f.yaml:2: guard.allowed_ports[1]: ", "not a port"},
    {"log:\n  request_headers: [User-Agent]\n", "f.yaml:2: log.request_headers[0]: ", "in lower case"},
    {"log:\n  level: verbose\n", "f.yaml:2: log.level: ", "not one of debug, info, warning, error"},
    {"log:\n  level: INFO\n", "f.yaml:2: log.level: ", "not one of debug, info"},
    {"log:\n  format: xml\n", "f.yaml:2: log.format: ", "not one of logfmt, json"},
    {"log:\n  access: unspecified\n", "f.yaml:2: log.access: ", "not one of all, failures, none"},
    {"pool:\n  idle_timeout: 60\n",
     "f.yaml:2: pool.idle_timeout: ", "\"60\" is not a duration such as 250ms, 1.5s or 10m, from 1s to 1h"},
    {"pool:\n  idle_timeout: soon\n", "f.yaml:2: pool.idle_timeout: ", "not a duration"},
    {"drain:\n  pause: -1s\n", "f.yaml:2: drain.pause: ", "not a duration"},
    {"limits:\n  max_unary_body_bytes: 3MB\n",
     "f.yaml:2: limits.max_unary_body_bytes: ", "not a size such as 65536, 64KiB or 3.5MiB, from 1KiB to 64MiB"},
    // Out of range.
    {"engine:\n  threads: 65\n", "f.yaml:2: engine.threads: ", "from 0 to 64"},
    {"engine:\n  threads: 99999999999999999999\n", "f.yaml:2: engine.threads: ", "from 0 to 64"},
    {"retry:\n  max_attempts: 0\n", "f.yaml:2: retry.max_attempts: ", "from 1 to 10"},
    {"retry:\n  max_attempts: 11\n", "f.yaml:2: retry.max_attempts: ", "from 1 to 10"},
    {"pool:\n  idle_timeout: 2h\n", "f.yaml:2: pool.idle_timeout: ", "from 1s to 1h"},
    {"timeouts:\n  default:\n    total: 0s\n", "f.yaml:3: timeouts.default.total: ", "from 1ms to 24h"},
    {"paging:\n  resume_token_ttl: 30s\n", "f.yaml:2: paging.resume_token_ttl: ", "from 1m to 720h"},
    {"limits:\n  max_unary_body_bytes: 1GiB\n", "f.yaml:2: limits.max_unary_body_bytes: ", "from 1KiB to 64MiB"},
    {"listen: []\n", "f.yaml:1: listen: ", "needs at least 1"},
    {"dns:\n  servers: [1.0.0.1, 1.0.0.2, 1.0.0.3, 1.0.0.4, 1.0.0.5, 1.0.0.6, 1.0.0.7, 1.0.0.8, 1.0.0.9]\n",
     "f.yaml:2: dns.servers: ", "has 9 items; at most 8"},
    {"guard:\n  allow_cidrs:\n    - 10.0.0.0/8\n    - 10.0.0.0/8\n",
     "f.yaml:4: guard.allow_cidrs[1]: ", "listed twice"},
    // Contradictions.
    {"listen: [\"0.0.0.0:50051\"]\n", "f.yaml:1: listen: ", "set insecure_listen_anywhere: true"},
    {"listen: [\"127.0.0.1:1\", \"[::]:50051\"]\n", "f.yaml:1: listen: ", "\"[::]:50051\" would let anyone"},
    {"insecure_listen_anywhere: false\nlisten: [\"192.0.2.1:1\"]\n", "f.yaml:2: listen: ", "tls.cert_file"},
    {"listen: [\"[::1]:5\", \"[0::1]:5\"]\n", "f.yaml:1: listen: ", "listed twice"},
    {"listen: [\"127.0.0.1:5\"]\nops:\n  listen: 127.0.0.1:5\n", "f.yaml:3: ops.listen: ", "is in listen too"},
    {"admin:\n  listen: 0.0.0.0:5\n", "f.yaml:2: admin.listen: ", "choose a loopback address"},
    {"listen: [\"127.0.0.1:5\"]\nadmin:\n  listen: 127.0.0.1:5\n", "f.yaml:3: admin.listen: ", "a port of their own"},
    {"ops:\n  listen: 127.0.0.1:5\nadmin:\n  listen: 127.0.0.1:5\n", "f.yaml:4: admin.listen: ", "a port of their own"},
    {"admin:\n  listen: somewhere\n", "f.yaml:2: admin.listen: ", "not an IP address with a port"},
    {"tls:\n  cert_file: a.pem\n", "f.yaml:2: tls.cert_file: ", "needs tls.key_file"},
    {"tls:\n  key_file: a.pem\n", "f.yaml:2: tls.key_file: ", "needs tls.cert_file"},
    {"tls:\n  client_ca_file: a.pem\n", "f.yaml:2: tls.client_ca_file: ", "needs tls.cert_file and tls.key_file"},
    {"upstream_tls:\n  use_system_cas: false\n", "f.yaml:2: upstream_tls.use_system_cas: ", "set upstream_tls.ca_file"},
    {"dns:\n  min_ttl: 10m\n", "f.yaml:2: dns.min_ttl: ", "dns.min_ttl (10m) must not be more than dns.max_ttl (5m)"},
    {"dns:\n  max_ttl: 2s\n", "f.yaml:2: dns.max_ttl: ", "dns.min_ttl (5s) must not be more than dns.max_ttl (2s)"},
    {"retry:\n  initial_backoff: 20s\n", "f.yaml:2: retry.initial_backoff: ", "retry.max_backoff (10s)"},
    {"pool:\n  max_connections: 2\n", "f.yaml:2: pool.max_connections: ", "pool.max_connections_per_origin (128)"},
    {"limits:\n  max_in_flight: 10\n", "f.yaml:2: limits.max_in_flight: ", "limits.batch_concurrency (100)"},
    {"limits:\n  max_response_head_bytes: 4KiB\n",
     "f.yaml:2: limits.max_response_head_bytes: ", "limits.max_response_field_bytes (16KiB)"},
    {"timeouts:\n  cap:\n    total: 5s\n",
     "f.yaml:3: timeouts.cap.total: ", "timeouts.default.total (30s) must not be more than timeouts.cap.total (5s)"},
    {"timeouts:\n  default:\n    dns: 31s\n", "f.yaml:3: timeouts.default.dns: ", "timeouts.cap.dns (30s)"},
    {"guard:\n  deny_cidrs: [10.0.0.0/8]\n  allow_cidrs: [10.0.0.0/8]\n",
     "f.yaml:3: guard.allow_cidrs: ", "is in guard.deny_cidrs too"},
    // Numbers with a fraction, statuses.
    {"breaker:\n  failure_rate: 1.01\n", "f.yaml:2: breaker.failure_rate: ", "not a number such as 0.5, from 0 to 1"},
    {"breaker:\n  failure_rate: -0.5\n", "f.yaml:2: breaker.failure_rate: ", "not a number"},
    {"retry_budget: {ratio: 20%}\n", "f.yaml:1: retry_budget.ratio: ", "\"20%\" is not a number"},
    {"rate_limit: {per_second: 1e3}\n", "f.yaml:1: rate_limit.per_second: ", "not a number"},
    {"retry: {statuses: [503, 200]}\n", "f.yaml:1: retry.statuses[1]: ", "an error, from 400 to 599"},
    {"retry: {statuses: [600]}\n", "f.yaml:1: retry.statuses[0]: ", "an error, from 400 to 599"},
    {"retry: {statuses: [503, 503]}\n", "f.yaml:1: retry.statuses[1]: ", "listed twice"},
    {"retry: {statuses: []}\n", "f.yaml:1: retry.statuses: ", "needs at least 1"},
    {"retry: {jitter: some}\n", "f.yaml:1: retry.jitter: ", "not one of none, full, equal, decorrelated"},
    // Lists of sections.
    {"origins: {hosts: [h]}\n", "f.yaml:1: origins: ", "needs a list, not a mapping; an item is a mapping of keys"},
    {"origins:\n  - h\n", "f.yaml:2: origins[0]: ", "needs a mapping of keys, not a single value"},
    {"origins:\n  - hosts: [h]\n  - hosts: [g]\n    breaker:\n      trials: 0\n",
     "f.yaml:5: origins[1].breaker.trials: ", "from 1 to 100"},
    {"origins:\n  - hosts: [h]\n    breakers: {}\n",
     "f.yaml:3: origins[0].breakers: ", "did you mean origins[0].breaker?"},
    {"origins:\n  - hosts: [h]\n    breaker: {trails: 3}\n",
     "f.yaml:3: origins[0].breaker.trails: ", "did you mean origins[0].breaker.trials?"},
    {"origins:\n  - hosts: [h]\n    timeouts: {cap: {}}\n", "f.yaml:3: origins[0].timeouts.cap: ", "unknown key"},
    {"hosts: [h]\n", "f.yaml:1: hosts: ", "did you mean origins[].hosts?"},
    {"origins:\n  - hosts: [h]\n    retry: {}\n    retry: {}\n",
     "f.yaml:4: origins[0].retry: ", "a second time; the first is in line 3"},
    {"pool:\norigins:\n  - priority: bulk\n", "f.yaml:3: origins[0].hosts: ", "is needed"},
    {"origins:\n  - hosts: []\n", "f.yaml:2: origins[0].hosts: ", "needs at least 1"},
    {"profiles:\n  - priority: bulk\n", "f.yaml:2: profiles[0].name: ", "is needed"},
    {"profiles:\n  - name: a b\n", "f.yaml:2: profiles[0].name: ", "not a name of 1 to 64"},
    {"profiles:\n  - name: a\n    breaker: {}\n", "f.yaml:3: profiles[0].breaker: ", "unknown key"},
    {"callers:\n  - name: a\n", "f.yaml:2: callers[0].weight: ", "is needed"},
    {"callers:\n  - weight: 2\n", "f.yaml:2: callers[0].name: ", "is needed"},
    {"callers:\n  - {name: a, weight: 0}\n", "f.yaml:2: callers[0].weight: ", "from 1 to 1000"},
    {"callers:\n  - {name: 'a*b', weight: 1}\n", "f.yaml:2: callers[0].name: ", "a * at the start or the end"},
    // Said twice.
    {"origins:\n  - hosts: [h, h]\n", "f.yaml:2: origins[0].hosts[1]: ", "listed twice"},
    {"origins:\n  - hosts: [g, h]\n  - priority: bulk\n    hosts: [h]\n",
     "f.yaml:4: origins[1].hosts: ", "\"h\" is in origins[0] too"},
    {"profiles:\n  - name: a\n  - name: a\n", "f.yaml:3: profiles[1].name: ", "the name of profiles[0] too"},
    {"callers:\n  - {name: a, weight: 1}\n  - {name: a, weight: 2}\n",
     "f.yaml:3: callers[1].name: ", "the name of callers[0] too"},
    // Hosts that no URL has.
    {"origins:\n  - hosts: [API.example.com]\n",
     "f.yaml:2: origins[0].hosts[0]: ", "URLs have it as \"api.example.com\""},
    {"origins:\n  - hosts: ['*example.com']\n", "f.yaml:2: origins[0].hosts[0]: ", "as in *.example.com"},
    {"origins:\n  - hosts: ['h:80']\n", "f.yaml:2: origins[0].hosts[0]: ", "leave the port out"},
    {"origins:\n  - hosts: [127.1]\n", "f.yaml:2: origins[0].hosts[0]: ", "no URL can have it"},
    {"origins:\n  - hosts: ['http://h/']\n", "f.yaml:2: origins[0].hosts[0]: ", "only the host counts"},
    // Contradictions in rules and profiles.
    {"origins:\n  - hosts: [h]\n    timeouts: {total: 11m}\n",
     "f.yaml:3: origins[0].timeouts.total: ", "timeouts.total (11m) must not be more than timeouts.cap.total (10m)"},
    {"profiles:\n  - name: a\n    timeouts: {dns: 31s}\n",
     "f.yaml:3: profiles[0].timeouts.dns: ", "timeouts.cap.dns (30s)"},
    {"origins:\n  - hosts: [h]\n    retry: {initial_backoff: 11s}\n",
     "f.yaml:3: origins[0].retry.initial_backoff: ", "retry.max_backoff (10s)"},
    {"profiles:\n  - name: a\n    retry: {max_backoff: 50ms}\n",
     "f.yaml:3: profiles[0].retry.max_backoff: ", "retry.initial_backoff (100ms)"},
    {"origins:\n  - hosts: [h]\n    breaker: {open_time: 5s}\n",
     "f.yaml:3: origins[0].breaker.open_time: ", "breaker.max_open_time (4s)"},
    {"breaker: {open_time: 5s}\n", "f.yaml:1: breaker.open_time: ", "breaker.max_open_time (4s)"},
    {"concurrency: {max: 5, min: 6}\n", "f.yaml:1: concurrency.min: ", "concurrency.max (5)"},
    {"origins:\n  - hosts: [h]\n    concurrency: {max: 129}\n",
     "f.yaml:3: origins[0].concurrency.max: ", "pool.max_connections_per_origin (128)"},
};

TEST(BadConfig, IsRefusedWithPlaceAndKey) {
  for (const Row& row : kRows) {
    const auto config = ParseConfig(row.yaml, "f.yaml");
    ASSERT_FALSE(config.ok()) << row.yaml;
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string message(config.status().message());
    EXPECT_EQ(message.rfind(row.start, 0), 0u) << row.yaml << message;
    EXPECT_NE(message.find(row.says), std::string::npos) << row.yaml << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one mistake, one line:\n" << message;
  }
  EXPECT_GE(std::size(kRows), 40u);
}

TEST(BadConfig, AllMistakesAreToldAtOnce) {
  const auto config = ParseConfig("engine:\n  threads: many\npol:\nlog:\n  level: loud\n", "f.yaml");
  EXPECT_EQ(std::string(config.status().message()),
            "f.yaml:2: engine.threads: \"many\" is not a whole number, from 0 to 64\n"
            "f.yaml:3: pol: unknown key; did you mean pool?\n"
            "f.yaml:5: log.level: \"loud\" is not one of debug, info, warning, error");
}

TEST(BadConfig, ARuleDoesNotRepeatAMistakeOfTheTop) {
  const auto config =
      ParseConfig("retry: {initial_backoff: 20s}\norigins:\n  - hosts: [h]\n    retry: {max_attempts: 1}\n", "f.yaml");
  EXPECT_EQ(
      std::string(config.status().message()),
      "f.yaml:1: retry.initial_backoff: retry.initial_backoff (20s) must not be more than retry.max_backoff (10s)");
}

TEST(BadConfig, AFlagIsNamedAsThePlace) {
  const auto threads = ParseConfig("", "f.yaml", {{"--threads", "engine.threads", "x"}});
  EXPECT_EQ(std::string(threads.status().message()),
            "--threads: engine.threads: \"x\" is not a whole number, from 0 to 64");
  const auto listen = ParseConfig("", "f.yaml", {{"--listen", "listen", "127.0.0.1:1,0.0.0.0:2"}});
  EXPECT_EQ(std::string(listen.status().message()).rfind("--listen: listen: without tls, \"0.0.0.0:2\"", 0), 0u)
      << listen.status();
}

TEST(BadConfig, AFileThatCannotBeReadIsNamed) {
  const auto missing = LoadConfig("/nonexistent/fetchd.yaml");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.status().message()), "cannot read /nonexistent/fetchd.yaml: No such file or directory");
  EXPECT_EQ(LoadConfig("/").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace fetchd::server
