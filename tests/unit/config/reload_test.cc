#include "config/reload.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "config/file.h"

namespace fetchd::server {
namespace {

ServerConfig Parse(const std::string& yaml) {
  const auto config = ParseConfig(yaml, "f.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->config : ServerConfig();
}

class ReloadTest : public ::testing::Test {
 protected:
  ReloadTest() {
    char dir[] = "/tmp/fetchd_reload_XXXXXX";
    EXPECT_NE(mkdtemp(dir), nullptr);
    dir_ = dir;
    path_ = dir_ + "/f.yaml";
  }
  ~ReloadTest() override {
    ::unlink(path_.c_str());
    ::rmdir(dir_.c_str());
  }
  void Write(const std::string& yaml) { ASSERT_TRUE(WriteFileAtomically(path_, yaml).ok()); }
  int Attempts() const { return policies_.Current().ForCall(Origin{}, "")->retry.max_attempts; }

  std::string dir_;
  std::string path_;
  PolicySource policies_;
};

TEST_F(ReloadTest, PublishesWhatTheFileSaysNow) {
  ConfigReloader reloader(path_, {}, Parse(""), policies_);
  Write("retry: {max_attempts: 5}\n");
  const ReloadResult result = reloader.Reload();
  EXPECT_TRUE(result.ok());
  EXPECT_TRUE(result.needs_restart.empty());
  EXPECT_EQ(Attempts(), 5);
  EXPECT_EQ(reloader.ok_count(), 1);
  EXPECT_EQ(reloader.refused_count(), 0);
}

TEST_F(ReloadTest, RefusesAFileWithAnythingWrongAsAWhole) {
  ConfigReloader reloader(path_, {}, Parse(""), policies_);
  Write("retry: {max_attempts: 5}\n");
  reloader.Reload();
  const uint64_t version = policies_.version();
  Write("retry: {max_attempts: 7}\nbreaker: {trials: 0}\nzzz: 1\n");
  const ReloadResult result = reloader.Reload();
  ASSERT_EQ(result.complaints.size(), 2u) << "one for each mistake";
  EXPECT_EQ(result.complaints[0].rfind(path_ + ":2: breaker.trials: ", 0), 0u) << result.complaints[0];
  EXPECT_EQ(result.complaints[1].rfind(path_ + ":3: zzz: unknown key", 0), 0u) << result.complaints[1];
  EXPECT_TRUE(result.needs_restart.empty());
  EXPECT_EQ(Attempts(), 5);
  EXPECT_EQ(policies_.version(), version);
  EXPECT_EQ(reloader.ok_count(), 1);
  EXPECT_EQ(reloader.refused_count(), 1);
}

TEST_F(ReloadTest, RefusesAFileThatIsGoneOrNamesOneThatIs) {
  ConfigReloader reloader(path_, {}, Parse(""), policies_);
  EXPECT_EQ(reloader.Reload().complaints,
            std::vector<std::string>{"cannot read " + path_ + ": No such file or directory"});
  Write("retry: {max_attempts: 5}\nupstream_tls: {ca_file: /nonexistent}\n");
  EXPECT_EQ(reloader.Reload().complaints.size(), 1u);
  EXPECT_EQ(Attempts(), 3);
  EXPECT_EQ(reloader.refused_count(), 2);
}

TEST_F(ReloadTest, FlagsStillWin) {
  ConfigReloader reloader(path_, {{"--threads", "engine.threads", "2"}}, Parse("engine: {threads: 2}"), policies_);
  Write("engine: {threads: 3}\nretry: {max_attempts: 5}\n");
  EXPECT_TRUE(reloader.Reload().needs_restart.empty());
  EXPECT_EQ(Attempts(), 5);
}

TEST_F(ReloadTest, NamesWhatNeedsARestartUntilItIsTakenBack) {
  ConfigReloader reloader(path_, {}, Parse(""), policies_);
  Write("pool: {idle_timeout: 5s}\nlisten: [\"127.0.0.1:1\"]\nretry: {max_attempts: 5}\n");
  for (int i = 0; i < 2; ++i) {
    const ReloadResult result = reloader.Reload();
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(result.needs_restart, (std::vector<std::string>{"listen", "pool.idle_timeout"}));
    EXPECT_EQ(Attempts(), 5) << "the rest holds";
  }
  Write("");
  EXPECT_TRUE(reloader.Reload().needs_restart.empty());
}

TEST(KeysThatNeedRestart, AreAllButWhatRulesAreMadeOf) {
  const ServerConfig running = Parse("");
  for (const char* yaml : {"timeouts: {default: {total: 5s}, cap: {dns: 20s}}", "retry: {max_attempts: 5}",
                           "hedge: {enabled: true}", "retry_budget: {ratio: 0}", "breaker: {trials: 5}",
                           "rate_limit: {per_second: 5}", "concurrency: {max: 5}", "outlier: {ejection: 5s}",
                           "origins: [{hosts: [h]}]", "profiles: [{name: a}]", "callers: [{name: a, weight: 5}]",
                           "proxies: [{name: a, url: \"http://h:1\"}]", "proxy: direct", "proxy_override: true"}) {
    EXPECT_TRUE(KeysThatNeedRestart(running, Parse(yaml)).empty()) << yaml;
  }
  const auto keys = [&](const char* yaml) { return KeysThatNeedRestart(running, Parse(yaml)); };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys("tls: {cert_file: a, key_file: b}"), (Keys{"tls.cert_file", "tls.key_file"}));
  EXPECT_EQ(keys("ops: {listen: \"127.0.0.1:7\"}"), Keys{"ops.listen"});
  EXPECT_EQ(keys("engine: {threads: 5}"), Keys{"engine.threads"});
  EXPECT_EQ(keys("guard: {allow_cidrs: [10.0.0.0/8]}"), Keys{"guard.allow_cidrs"});
  EXPECT_EQ(keys("limits: {max_in_flight: 500}"), Keys{"limits.max_in_flight"});
  EXPECT_EQ(keys("log: {access: none}"), Keys{"log.access"});
}

}  // namespace
}  // namespace fetchd::server
