#include "config/effective.h"

namespace fetchd::server {

namespace v1 = ::fetchd::config::v1;

v1::OriginRule EffectiveSections(const ServerConfig& config, const v1::OriginRule* rule, const v1::Profile* profile) {
  v1::OriginRule sections;
  *sections.mutable_timeouts() = config.timeouts().default_();
  *sections.mutable_retry() = config.retry();
  *sections.mutable_hedge() = config.hedge();
  sections.set_priority(v1::PRIORITY_NORMAL);
  *sections.mutable_retry_budget() = config.retry_budget();
  *sections.mutable_breaker() = config.breaker();
  *sections.mutable_rate_limit() = config.rate_limit();
  *sections.mutable_concurrency() = config.concurrency();
  *sections.mutable_outlier() = config.outlier();
  *sections.mutable_http2() = config.http2();
  if (config.has_proxy()) sections.set_proxy(config.proxy());
  sections.set_proxy_override(config.proxy_override());
  if (rule != nullptr) Overlay(*rule, sections);
  sections.clear_hosts();
  if (profile == nullptr) return sections;
  if (profile->has_timeouts()) Overlay(profile->timeouts(), *sections.mutable_timeouts());
  if (profile->has_retry()) Overlay(profile->retry(), *sections.mutable_retry());
  if (profile->has_hedge()) Overlay(profile->hedge(), *sections.mutable_hedge());
  if (profile->has_priority()) sections.set_priority(profile->priority());
  return sections;
}

}  // namespace fetchd::server
