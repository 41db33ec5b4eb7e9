#include "config/policy_rules.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "config/durations.h"
#include "config/effective.h"
#include "config/proxies.h"
#include "config/yaml_reader.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

namespace v1 = ::fetchd::config::v1;

Jitter ToJitter(v1::Retry::Jitter jitter) {
  switch (jitter) {
    case v1::Retry::JITTER_NONE:
      return Jitter::kNone;
    case v1::Retry::JITTER_EQUAL:
      return Jitter::kEqual;
    case v1::Retry::JITTER_DECORRELATED:
      return Jitter::kDecorrelated;
    default:
      return Jitter::kFull;
  }
}

Priority ToPriority(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_INTERACTIVE:
      return Priority::kInteractive;
    case v1::PRIORITY_BULK:
      return Priority::kBulk;
    default:
      return Priority::kNormal;
  }
}

ProxyPolicy MakeProxyPolicy(const ServerConfig& config, const v1::OriginRule& sections) {
  ProxyPolicy policy;
  policy.prescribed = sections.has_proxy();
  policy.may_override = sections.proxy_override();
  for (int i = 0; i < config.proxies_size(); ++i) {
    if (sections.has_proxy() && config.proxies(i).name() == sections.proxy()) policy.proxy = i;
  }
  return policy;
}

CallPolicy MakeCallPolicy(const ServerConfig& config, const v1::OriginRule& sections) {
  CallPolicy policy;
  policy.proxy = MakeProxyPolicy(config, sections);
  policy.timeouts = MakeTimeouts(sections.timeouts());
  const v1::Retry& retry = sections.retry();
  policy.retry.max_attempts = static_cast<int>(retry.max_attempts());
  policy.retry.initial_backoff = ToDuration(retry.initial_backoff());
  policy.retry.max_backoff = ToDuration(retry.max_backoff());
  policy.retry.jitter = ToJitter(retry.jitter());
  policy.retry.statuses = StatusSet();
  for (const uint32_t status : retry.statuses()) policy.retry.statuses.Add(static_cast<int>(status));
  policy.retry.max_retry_after = ToDuration(retry.max_retry_after());
  policy.retry.resume = retry.resume();
  policy.hedge.enabled = sections.hedge().enabled();
  policy.hedge.delay = ToDuration(sections.hedge().delay());
  policy.priority = ToPriority(sections.priority());
  return policy;
}

BreakerOptions MakeBreaker(const v1::Breaker& m) {
  BreakerOptions breaker;
  breaker.enabled = m.enabled();
  breaker.consecutive_failures = static_cast<int>(m.consecutive_failures());
  breaker.failure_rate = m.failure_rate();
  breaker.min_volume = static_cast<int>(m.min_volume());
  breaker.window = ToDuration(m.window());
  breaker.slow_call = ToDuration(m.slow_call());
  breaker.slow_rate = m.slow_rate();
  breaker.open_time = ToDuration(m.open_time());
  breaker.max_open_time = ToDuration(m.max_open_time());
  breaker.trials = static_cast<int>(m.trials());
  breaker.failure_statuses.assign(m.failure_statuses().begin(), m.failure_statuses().end());
  return breaker;
}

OriginPolicy MakeOriginPolicy(const v1::OriginRule& sections) {
  OriginPolicy policy;
  policy.breaker = MakeBreaker(sections.breaker());
  policy.retry_budget.ratio = sections.retry_budget().ratio();
  policy.retry_budget.window = ToDuration(sections.retry_budget().window());
  policy.retry_budget.min_concurrent = static_cast<int>(sections.retry_budget().min_concurrent());
  const v1::RateLimit& rate = sections.rate_limit();
  policy.rate_limit = {.per_second = rate.per_second(), .burst = static_cast<int>(rate.burst())};
  policy.caller_rate_limit = {.per_second = rate.per_caller_per_second(),
                              .burst = static_cast<int>(rate.per_caller_burst())};
  const v1::Concurrency& concurrency = sections.concurrency();
  policy.concurrency.max = static_cast<int>(concurrency.max());
  policy.concurrency.adaptive = concurrency.adaptive();
  policy.concurrency.min = static_cast<int>(concurrency.min());
  policy.concurrency.per_caller = static_cast<int>(concurrency.per_caller());
  policy.outlier.enabled = sections.outlier().enabled();
  policy.outlier.consecutive_failures = static_cast<int>(sections.outlier().consecutive_failures());
  policy.outlier.ejection = ToDuration(sections.outlier().ejection());
  policy.outlier.max_ejected = sections.outlier().max_ejected();
  policy.http2 = sections.http2().enabled();
  return policy;
}

// Without a profile, then with each.
std::vector<CallPolicy> MakeCalls(const ServerConfig& config, const v1::OriginRule* rule) {
  std::vector<CallPolicy> calls = {MakeCallPolicy(config, EffectiveSections(config, rule, nullptr))};
  for (const v1::Profile& profile : config.profiles()) {
    calls.push_back(MakeCallPolicy(config, EffectiveSections(config, rule, &profile)));
  }
  return calls;
}

}  // namespace

PolicyRules MakePolicyRules(const ServerConfig& config) {
  PolicyRules rules;
  rules.origin = MakeOriginPolicy(EffectiveSections(config, nullptr, nullptr));
  rules.calls = MakeCalls(config, nullptr);
  for (const v1::Profile& profile : config.profiles()) rules.profiles.push_back(profile.name());
  for (const v1::OriginRule& rule : config.origins()) {
    rules.rules.push_back({.hosts = {rule.hosts().begin(), rule.hosts().end()},
                           .origin = MakeOriginPolicy(EffectiveSections(config, &rule, nullptr)),
                           .calls = MakeCalls(config, &rule)});
  }
  for (const v1::Caller& caller : config.callers()) {
    rules.callers.push_back({.pattern = caller.name(), .weight = caller.weight()});
  }
  for (Proxy& proxy : MakeProxies(config)) rules.proxies.push_back(std::make_shared<const Proxy>(std::move(proxy)));
  rules.timeout_caps = MakeTimeouts(config.timeouts().cap());
  return rules;
}

absl::StatusOr<std::string> EffectivePolicyYaml(const ServerConfig& config, const PolicyQuestion& question) {
  const absl::StatusOr<Url> url = Url::Parse(question.url);
  if (!url.ok()) return absl::InvalidArgumentError(absl::StrCat("\"", question.url, "\": ", url.status().message()));
  const v1::Profile* profile = nullptr;
  for (const v1::Profile& p : config.profiles()) {
    if (p.name() == question.profile) profile = &p;
  }
  if (profile == nullptr && !question.profile.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("there is no profile \"", question.profile, "\""));
  }
  const PolicyBook book(MakePolicyRules(config));
  const int rule = book.RuleOf(url->origin());
  v1::OriginRule sections = EffectiveSections(config, rule < 0 ? nullptr : &config.origins(rule), profile);
  // What 0 stands for.
  if (sections.concurrency().max() == 0) {
    sections.mutable_concurrency()->set_max(config.pool().max_connections_per_origin());
  }
  std::string out = absl::StrCat("origin: ", YamlText(url->origin().ToString()), "\n");
  if (rule < 0) {
    absl::StrAppend(&out, "rule: none\n");
  } else {
    absl::StrAppend(&out, "rule: {index: ", rule, ", host: ", YamlText(book.ForOrigin(url->origin()).rule), "}\n");
  }
  absl::StrAppend(&out, "profile: ", profile == nullptr ? "none" : YamlText(profile->name()), "\n");
  absl::StrAppend(&out, "caller: {name: ", question.caller.empty() ? "none" : YamlText(question.caller),
                  ", weight: ", book.WeightOf(question.caller), "}\n");
  return absl::StrCat(out, ToYaml(sections));
}

}  // namespace fetchd::server
