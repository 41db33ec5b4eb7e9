#include "config/policy_rules.h"

#include <gtest/gtest.h>

#include <string>

#include "config/load.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

ServerConfig Parse(const std::string& yaml) {
  const auto config = ParseConfig(yaml, "f.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->config : ServerConfig();
}

Origin At(const std::string& host) { return {.scheme = Scheme::kHttps, .host = host, .port = 443}; }

void ExpectSame(const Timeouts& a, const Timeouts& b) {
  EXPECT_EQ(a.total, b.total);
  EXPECT_EQ(a.attempt, b.attempt);
  EXPECT_EQ(a.queue, b.queue);
  EXPECT_EQ(a.dns, b.dns);
  EXPECT_EQ(a.connect, b.connect);
  EXPECT_EQ(a.tls, b.tls);
  EXPECT_EQ(a.send_idle, b.send_idle);
  EXPECT_EQ(a.first_byte, b.first_byte);
  EXPECT_EQ(a.between_bytes, b.between_bytes);
}

// The defaults that people read in the proto are those that the policies' own tests run with.
TEST(MakePolicyRules, DefaultsAreThoseOfThePolicies) {
  const PolicyRules made = MakePolicyRules(Parse(""));
  const PolicyRules shipped;
  ExpectSame(made.timeout_caps, shipped.timeout_caps);
  ASSERT_EQ(made.calls.size(), 1u);
  const CallPolicy& call = made.calls[0];
  const CallPolicy& shipped_call = shipped.calls[0];
  ExpectSame(call.timeouts, shipped_call.timeouts);
  EXPECT_EQ(call.retry.max_attempts, shipped_call.retry.max_attempts);
  EXPECT_EQ(call.retry.initial_backoff, shipped_call.retry.initial_backoff);
  EXPECT_EQ(call.retry.max_backoff, shipped_call.retry.max_backoff);
  EXPECT_EQ(call.retry.jitter, shipped_call.retry.jitter);
  EXPECT_EQ(call.retry.statuses, shipped_call.retry.statuses);
  EXPECT_EQ(call.retry.max_retry_after, shipped_call.retry.max_retry_after);
  EXPECT_EQ(call.retry.resume, shipped_call.retry.resume);
  EXPECT_EQ(call.hedge.enabled, shipped_call.hedge.enabled);
  EXPECT_EQ(call.hedge.delay, shipped_call.hedge.delay);
  EXPECT_EQ(call.priority, shipped_call.priority);
  const BreakerOptions& breaker = made.origin.breaker;
  const BreakerOptions shipped_breaker;
  EXPECT_EQ(breaker.enabled, shipped_breaker.enabled);
  EXPECT_EQ(breaker.consecutive_failures, shipped_breaker.consecutive_failures);
  EXPECT_EQ(breaker.failure_rate, shipped_breaker.failure_rate);
  EXPECT_EQ(breaker.min_volume, shipped_breaker.min_volume);
  EXPECT_EQ(breaker.window, shipped_breaker.window);
  EXPECT_EQ(breaker.slow_call, shipped_breaker.slow_call);
  EXPECT_EQ(breaker.slow_rate, shipped_breaker.slow_rate);
  EXPECT_EQ(breaker.open_time, shipped_breaker.open_time);
  EXPECT_EQ(breaker.max_open_time, shipped_breaker.max_open_time);
  EXPECT_EQ(breaker.trials, shipped_breaker.trials);
  EXPECT_EQ(breaker.failure_statuses, shipped_breaker.failure_statuses);
  EXPECT_EQ(made.origin.retry_budget, RetryBudgetOptions());
  EXPECT_EQ(made.origin.rate_limit, RateLimitOptions());
  EXPECT_EQ(made.origin.caller_rate_limit, RateLimitOptions());
  EXPECT_EQ(made.origin.concurrency.max, ConcurrencyOptions().max);
  EXPECT_EQ(made.origin.concurrency.adaptive, ConcurrencyOptions().adaptive);
  EXPECT_EQ(made.origin.concurrency.min, ConcurrencyOptions().min);
  EXPECT_EQ(made.origin.concurrency.per_caller, ConcurrencyOptions().per_caller);
  EXPECT_EQ(made.origin.outlier, OutlierOptions());
}

TEST(MakePolicyRules, HandsOutEveryKey) {
  const PolicyRules made = MakePolicyRules(Parse(R"(
retry: {max_attempts: 2, initial_backoff: 1ms, max_backoff: 2ms, jitter: decorrelated, statuses: [404, 599], max_retry_after: 7s, resume: false}
hedge: {enabled: true, delay: 8ms}
retry_budget: {ratio: 0.5, window: 2s, min_concurrent: 0}
breaker: {enabled: false, consecutive_failures: 1, failure_rate: 0.25, min_volume: 2, window: 3s, slow_call: 4s, slow_rate: 1,
          open_time: 6ms, max_open_time: 7ms, trials: 8, failure_statuses: [500]}
rate_limit: {per_second: 0.5, burst: 2, per_caller_per_second: 3.5, per_caller_burst: 4}
concurrency: {max: 5, adaptive: true, min: 2, per_caller: 3}
outlier: {enabled: false, consecutive_failures: 9, ejection: 1m, max_ejected: 0.25}
http2: {enabled: false}
)"));
  const RetryOptions& retry = made.calls[0].retry;
  EXPECT_EQ(retry.jitter, Jitter::kDecorrelated);
  EXPECT_EQ(retry.statuses, (StatusSet{404, 599}));
  EXPECT_EQ(retry.max_retry_after, seconds(7));
  EXPECT_FALSE(retry.resume);
  EXPECT_TRUE(made.calls[0].hedge.enabled);
  EXPECT_EQ(made.calls[0].hedge.delay, milliseconds(8));
  EXPECT_EQ(made.origin.retry_budget.ratio, 0.5);
  EXPECT_EQ(made.origin.retry_budget.window, seconds(2));
  EXPECT_EQ(made.origin.retry_budget.min_concurrent, 0);
  const BreakerOptions& breaker = made.origin.breaker;
  EXPECT_FALSE(breaker.enabled);
  EXPECT_EQ(breaker.consecutive_failures, 1);
  EXPECT_EQ(breaker.failure_rate, 0.25);
  EXPECT_EQ(breaker.min_volume, 2);
  EXPECT_EQ(breaker.window, seconds(3));
  EXPECT_EQ(breaker.slow_call, seconds(4));
  EXPECT_EQ(breaker.slow_rate, 1);
  EXPECT_EQ(breaker.open_time, milliseconds(6));
  EXPECT_EQ(breaker.max_open_time, milliseconds(7));
  EXPECT_EQ(breaker.trials, 8);
  EXPECT_EQ(breaker.failure_statuses, std::vector<int>{500});
  EXPECT_EQ(made.origin.rate_limit, (RateLimitOptions{.per_second = 0.5, .burst = 2}));
  EXPECT_EQ(made.origin.caller_rate_limit, (RateLimitOptions{.per_second = 3.5, .burst = 4}));
  EXPECT_EQ(made.origin.concurrency.max, 5);
  EXPECT_TRUE(made.origin.concurrency.adaptive);
  EXPECT_EQ(made.origin.concurrency.min, 2);
  EXPECT_EQ(made.origin.concurrency.per_caller, 3);
  EXPECT_FALSE(made.origin.outlier.enabled);
  EXPECT_EQ(made.origin.outlier.consecutive_failures, 9);
  EXPECT_EQ(made.origin.outlier.ejection, minutes(1));
  EXPECT_EQ(made.origin.outlier.max_ejected, 0.25);
  EXPECT_FALSE(made.origin.http2);
}

constexpr char kRules[] = R"(
timeouts: {default: {total: 20s, attempt: 7s}}
retry: {max_attempts: 2, max_backoff: 5s}
breaker: {trials: 5}
rate_limit: {burst: 9}
origins:
  - hosts: [api.example.com]
    timeouts: {attempt: 3s}
    retry: {max_attempts: 4, statuses: [503]}
    priority: interactive
    breaker: {open_time: 2s}
    rate_limit: {per_second: 50}
  - hosts: ["*.example.com"]
    hedge: {enabled: true}
profiles:
  - name: nightly
    timeouts: {attempt: 60s}
    retry: {max_attempts: 6}
    priority: bulk
callers:
  - {name: "batch-*", weight: 3}
)";

// Defaults < origin rule < profile; only what is set counts.
TEST(MakePolicyRules, ProfileWinsOverRuleAndRuleOverDefault) {
  const PolicyBook book(MakePolicyRules(Parse(kRules)));
  const CallPolicy& other = *book.ForCall(At("h"), "");
  EXPECT_EQ(other.timeouts.attempt, seconds(7));
  EXPECT_EQ(other.retry.max_attempts, 2);
  EXPECT_EQ(other.priority, Priority::kNormal);

  const CallPolicy& rule = *book.ForCall(At("api.example.com"), "");
  EXPECT_EQ(rule.timeouts.total, seconds(20));
  EXPECT_EQ(rule.timeouts.attempt, seconds(3));
  EXPECT_EQ(rule.retry.max_attempts, 4);
  EXPECT_EQ(rule.retry.statuses, StatusSet{503});
  EXPECT_EQ(rule.retry.max_backoff, seconds(5));
  EXPECT_EQ(rule.priority, Priority::kInteractive);
  EXPECT_FALSE(rule.hedge.enabled) << "rules do not add up";

  const CallPolicy& profile = *book.ForCall(At("api.example.com"), "nightly");
  EXPECT_EQ(profile.timeouts.total, seconds(20));
  EXPECT_EQ(profile.timeouts.attempt, seconds(60));
  EXPECT_EQ(profile.retry.max_attempts, 6);
  EXPECT_EQ(profile.retry.statuses, StatusSet{503});
  EXPECT_EQ(profile.priority, Priority::kBulk);
  EXPECT_TRUE(book.ForCall(At("www.example.com"), "nightly")->hedge.enabled);

  const OriginPolicy& origin = book.ForOrigin(At("api.example.com"));
  EXPECT_EQ(origin.rule, "api.example.com");
  EXPECT_EQ(origin.breaker.trials, 5);
  EXPECT_EQ(origin.breaker.open_time, seconds(2));
  EXPECT_EQ(origin.rate_limit, (RateLimitOptions{.per_second = 50, .burst = 9}));
  EXPECT_EQ(book.ForOrigin(At("h")).rate_limit.per_second, 0);
  EXPECT_EQ(book.WeightOf("batch-1"), 3u);
}

TEST(EffectivePolicyYaml, ShowsTheRuleAndEveryValue) {
  const ServerConfig config = Parse(kRules);
  const auto yaml =
      EffectivePolicyYaml(config, {.url = "https://api.example.com/x?q=1", .caller = "batch-1", .profile = "nightly"});
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_EQ(*yaml, R"(origin: "https://api.example.com:443"
rule: {index: 0, host: api.example.com}
profile: nightly
caller: {name: batch-1, weight: 3}
timeouts:
  total: 20s
  attempt: 1m
  queue: 5s
  dns: 5s
  connect: 5s
  tls: 5s
  send_idle: 10s
  first_byte: 10s
  between_bytes: 10s
retry:
  max_attempts: 6
  initial_backoff: 100ms
  max_backoff: 5s
  jitter: full
  statuses: [503]
  max_retry_after: 1m
  resume: true
hedge:
  enabled: false
  delay: 0s
priority: bulk
retry_budget:
  ratio: 0.2
  window: 10s
  min_concurrent: 3
breaker:
  enabled: true
  consecutive_failures: 20
  failure_rate: 0.5
  min_volume: 100
  window: 10s
  slow_call: 0s
  slow_rate: 0.5
  open_time: 2s
  max_open_time: 4s
  trials: 5
  failure_statuses: [500, 502, 503, 504]
rate_limit:
  per_second: 50
  burst: 9
  per_caller_per_second: 0
  per_caller_burst: 1
concurrency:
  max: 128
  adaptive: false
  min: 1
  per_caller: 0
outlier:
  enabled: true
  consecutive_failures: 5
  ejection: 30s
  max_ejected: 0.5
http2:
  enabled: true
proxy_override: false
)");
}

TEST(EffectivePolicyYaml, SaysThatNothingMatched) {
  const auto yaml = EffectivePolicyYaml(Parse(kRules), {.url = "http://[::1]:8080/", .caller = "", .profile = ""});
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_EQ(yaml->rfind("origin: \"http://[::1]:8080\"\nrule: none\nprofile: none\ncaller: {name: none, weight: 1}\n"
                        "timeouts:\n  total: 20s\n  attempt: 7s\n",
                        0),
            0u)
      << *yaml;
}

TEST(EffectivePolicyYaml, RefusesWhatIsNoUrlOrProfile) {
  const ServerConfig config = Parse(kRules);
  EXPECT_EQ(EffectivePolicyYaml(config, {.url = "h", .caller = "", .profile = ""}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(
                EffectivePolicyYaml(config, {.url = "http://h/", .caller = "", .profile = "daily"}).status().message()),
            "there is no profile \"daily\"");
}

}  // namespace
}  // namespace fetchd::server
