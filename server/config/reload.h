// The configuration, read again while fetchd runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "config/load.h"
#include "policy/policy_book.h"

namespace fetchd::server {

// The keys, such as "pool.idle_timeout", whose values differ and which are only read at the start. What rules are made
// of (timeouts, retry, hedge, retry_budget, breaker, rate_limit, concurrency, outlier, http2, origins, profiles,
// callers, proxies, proxy, proxy_override) is not among them.
std::vector<std::string> KeysThatNeedRestart(const ServerConfig& running, const ServerConfig& read);

struct ReloadResult {
  // Why the file was refused, one complaint each; empty: its policies hold now.
  std::vector<std::string> complaints;
  // See KeysThatNeedRestart; none if the file was refused.
  std::vector<std::string> needs_restart;
  bool ok() const { return complaints.empty(); }
};

// Reads the file anew and publishes its policies. Owned by main, and called by one thread; the counts by any.
class ConfigReloader {
 public:
  // `running` is what the process was started with, from the file at `path` ("": none) and `overrides`. `policies`
  // outlives the reloader.
  ConfigReloader(std::string path, std::vector<Override> overrides, ServerConfig running, PolicySource& policies);

  // Reads and checks the whole file, and the files it names. If anything is wrong nothing changes.
  ReloadResult Reload();

  int64_t ok_count() const { return ok_.load(std::memory_order_relaxed); }
  int64_t refused_count() const { return refused_.load(std::memory_order_relaxed); }

 private:
  const std::string path_;
  const std::vector<Override> overrides_;
  const ServerConfig running_;
  PolicySource& policies_;
  std::atomic<int64_t> ok_ = 0;
  std::atomic<int64_t> refused_ = 0;
};

}  // namespace fetchd::server
