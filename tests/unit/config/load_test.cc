#include "config/load.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "config/yaml_reader.h"

namespace fetchd::server {
namespace {

std::string ReadSource(const std::string& path) {
  std::ifstream file(absl::StrCat(FETCHD_SOURCE_DIR "/", path));
  EXPECT_TRUE(file.is_open()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

ServerConfig Parse(const std::string& yaml, const std::vector<Override>& overrides = {}) {
  const auto config = ParseConfig(yaml, "f.yaml", overrides);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->config : ServerConfig();
}

TEST(LoadConfig, AnEmptyFileIsTheDefaults) {
  for (const char* yaml : {"", "# nothing\n", "pool:\n  # idle_timeout: 5s\n"}) {
    const ServerConfig config = Parse(yaml);
    ASSERT_EQ(config.listen_size(), 1);
    EXPECT_EQ(config.listen(0), "127.0.0.1:50051");
    EXPECT_EQ(config.ops().listen(), "127.0.0.1:9464");
    EXPECT_FALSE(config.tls().has_cert_file());
    EXPECT_EQ(config.pool().idle_timeout().seconds(), 60);
    EXPECT_EQ(config.retry().initial_backoff().nanos(), 100'000'000);
    EXPECT_EQ(config.limits().max_unary_body_bytes(), 3'584u * 1024);
    EXPECT_EQ(config.guard().allow_cidrs_size(), 0);
    EXPECT_EQ(config.log().level(), ::fetchd::config::v1::Log::LEVEL_INFO);
    EXPECT_EQ(config.drain().deadline().seconds(), 25);
  }
  EXPECT_TRUE(LoadConfig("").ok());
}

TEST(LoadConfig, ReadsEveryKindOfValue) {
  const ServerConfig config = Parse(R"(
listen: ["127.0.0.1:0", "[::1]:7000"]
insecure_listen_anywhere: true
tls: {cert_file: a.pem, key_file: b.pem}
pool:
  idle_timeout: 1m30s
limits:
  max_unary_body_bytes: 1.5MiB
log:
  format: json
  request_headers:
    - user-agent
)");
  EXPECT_EQ(config.listen(1), "[::1]:7000");
  EXPECT_TRUE(config.insecure_listen_anywhere());
  EXPECT_EQ(config.tls().key_file(), "b.pem");
  EXPECT_EQ(config.pool().idle_timeout().seconds(), 90);
  EXPECT_EQ(config.limits().max_unary_body_bytes(), 3u << 19);
  EXPECT_EQ(config.log().format(), ::fetchd::config::v1::Log::FORMAT_JSON);
  EXPECT_EQ(config.log().request_headers(0), "user-agent");
}

TEST(LoadConfig, AFlagWinsOverTheFileAndTheFileOverTheDefault) {
  const std::string yaml = "listen: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nengine: {threads: 3}\n";
  EXPECT_EQ(Parse("").engine().threads(), 0u);
  EXPECT_EQ(Parse(yaml).engine().threads(), 3u);
  const ServerConfig config =
      Parse(yaml, {{"--threads", "engine.threads", "5"}, {"--listen", "listen", "127.0.0.1:0,[::1]:0"}});
  EXPECT_EQ(config.engine().threads(), 5u);
  ASSERT_EQ(config.listen_size(), 2);
  EXPECT_EQ(config.listen(0), "127.0.0.1:0");
  EXPECT_EQ(config.listen(1), "[::1]:0");
}

TEST(LoadConfig, AnAddressForOthersNeedsTlsOrTheWord) {
  EXPECT_FALSE(ParseConfig("listen: [\"0.0.0.0:1\"]", "f").ok());
  EXPECT_TRUE(ParseConfig("listen: [\"0.0.0.0:1\"]\ninsecure_listen_anywhere: true", "f").ok());
  EXPECT_TRUE(ParseConfig("listen: [\"0.0.0.0:1\"]\ntls: {cert_file: a, key_file: b}", "f").ok());
  EXPECT_TRUE(ParseConfig("listen: [\"127.0.0.2:1\", \"[::1]:1\"]", "f").ok());
}

constexpr char kRules[] = R"(
breaker: {failure_rate: 0.25}
origins:
  - hosts: [api.example.com, "*.example.com", "2001:db8::1"]
    retry: {statuses: [503], jitter: none}
    rate_limit: {per_second: 2.5}
  - hosts: ["*"]
    priority: bulk
profiles:
  - name: nightly
    timeouts: {total: 5m}
callers:
  - {name: "batch-*", weight: 3}
)";

TEST(LoadConfig, ReadsListsOfSections) {
  const auto config = ParseConfig(kRules, "f.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->config.origins_size(), 2);
  const auto& rule = config->config.origins(0);
  EXPECT_EQ(rule.hosts(1), "*.example.com");
  EXPECT_EQ(rule.retry().jitter(), ::fetchd::config::v1::Retry::JITTER_NONE);
  EXPECT_EQ(rule.rate_limit().per_second(), 2.5);
  EXPECT_EQ(config->config.origins(1).priority(), ::fetchd::config::v1::PRIORITY_BULK);
  EXPECT_EQ(config->config.profiles(0).timeouts().total().seconds(), 300);
  EXPECT_EQ(config->config.callers(0).weight(), 3u);
  EXPECT_EQ(config->config.breaker().failure_rate(), 0.25);
  EXPECT_EQ(config->places.at("origins[0]"), "f.yaml:4");
  EXPECT_EQ(config->places.at("origins[0].retry.jitter"), "f.yaml:5");
  EXPECT_EQ(config->places.at("origins[1].priority"), "f.yaml:8");
}

TEST(LoadConfig, WhatARuleDoesNotSetIsUnset) {
  const ServerConfig config = Parse(kRules);
  EXPECT_EQ(config.retry().max_attempts(), 3u);
  EXPECT_FALSE(config.origins(0).retry().has_max_attempts());
  EXPECT_FALSE(config.origins(0).has_breaker());
  EXPECT_EQ(config.origins(1).retry().statuses_size(), 0);
  EXPECT_FALSE(config.profiles(0).timeouts().has_attempt());
}

TEST(Overlay, ReplacesWhatIsSetAndNothingElse) {
  ServerConfig config = Parse("timeouts: {default: {total: 1s500ms, attempt: 700ms}}");
  const ServerConfig changes = [] {
    ServerConfig read;
    KeyPlaces places;
    Complaints complaints;
    ReadYaml("timeouts: {default: {total: 2s}}\nretry: {statuses: [503]}\nhedge: {delay: 0s}\n", "f", read, places,
             complaints);
    return read;
  }();
  Overlay(changes, config);
  EXPECT_EQ(config.timeouts().default_().total().seconds(), 2);
  EXPECT_EQ(config.timeouts().default_().total().nanos(), 0) << "a duration is replaced as a whole";
  EXPECT_EQ(config.timeouts().default_().attempt().nanos(), 700'000'000);
  ASSERT_EQ(config.retry().statuses_size(), 1) << "and so is a list";
  EXPECT_EQ(config.retry().statuses(0), 503u);
  EXPECT_EQ(config.retry().max_attempts(), 3u);
}

TEST(ToYaml, ReadsBackAsTheSameWithListsOfSections) {
  const ServerConfig config = Parse(kRules);
  const std::string yaml = ToYaml(config);
  EXPECT_NE(yaml.find("  - hosts: [api.example.com, \"*.example.com\", \"2001:db8::1\"]\n    retry:\n"),
            std::string::npos)
      << yaml;
  EXPECT_EQ(Parse(yaml).SerializeAsString(), config.SerializeAsString()) << yaml;
}

TEST(ToYaml, ReadsBackAsTheSame) {
  const ServerConfig config =
      Parse("tls: {cert_file: \"a b\\\"\\\\.pem\", key_file: '-x'}\npool: {max_lifetime: 90s}\n");
  const std::string yaml = ToYaml(config);
  EXPECT_NE(yaml.find("max_lifetime: 90s\n"), std::string::npos) << yaml;
  EXPECT_EQ(Parse(yaml).SerializeAsString(), config.SerializeAsString()) << yaml;
}

// What has no default stands there as an example, in a comment.
TEST(ExampleConfig, ShowsEveryKeyAndIsTheDefaults) {
  const std::string example = ReadSource("deploy/fetchd.example.yaml");
  const auto config = ParseConfig(example, "fetchd.example.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->config.SerializeAsString(), Parse("").SerializeAsString()) << ToYaml(config->config);

  // With the examples taken in: a line "#: key: value" becomes "key: value".
  std::string all;
  std::istringstream lines(example);
  for (std::string line; std::getline(lines, line);) {
    const size_t mark = line.find_first_not_of(' ');
    if (mark != std::string::npos && line.compare(mark, 3, "#: ") == 0) line.erase(mark, 3);
    all += line + "\n";
  }
  ServerConfig complete;
  KeyPlaces places;
  Complaints complaints;
  ReadYaml(all, "fetchd.example.yaml", complete, places, complaints);
  EXPECT_TRUE(complaints.empty()) << complaints.Text();
  for (std::string key : KeyPaths(*ServerConfig::descriptor())) {
    // Any item of a list will do; the example has one of each.
    if (const size_t item = key.find("[]"); item != std::string::npos) key.replace(item, 2, "[0]");
    EXPECT_TRUE(places.contains(key)) << key << " is not in deploy/fetchd.example.yaml";
  }
}

TEST(ContainerConfig, IsGood) {
  const auto config = ParseConfig(ReadSource("deploy/fetchd.container.yaml"), "fetchd.container.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->config.insecure_listen_anywhere());
}

TEST(ConfigurationDocument, NamesEveryKey) {
  const std::string document = ReadSource("docs/configuration.md");
  for (const std::string& key : KeyPaths(*ServerConfig::descriptor())) {
    EXPECT_NE(document.find(absl::StrCat("`", key, "`")), std::string::npos)
        << key << " is not in docs/configuration.md";
  }
}

}  // namespace
}  // namespace fetchd::server
