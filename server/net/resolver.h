// Names to addresses.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/timer_queue.h"
#include "model/failure.h"
#include "model/ip_address.h"
#include "net/cancel_scope.h"
#include "net/task.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Either addresses or a failure.
struct ResolveResult {
  // In the order of RFC 8305 section 4: families alternate, the preferred one first. Not empty without a failure.
  std::vector<IpAddress> addresses;
  // kDnsError, or the scope's reason.
  std::optional<Failure> failure;

  bool ok() const { return !failure.has_value(); }
};

// Asks DNS (c-ares), a hosts file and a cache. One for each engine thread, used on that thread only. Must outlive its
// Resolve calls; destroying it drops questions that are still open.
//
// One question per name is open at a time, whatever the number of callers; a caller that is cancelled leaves the
// question to the others, or to the cache. A and AAAA are asked for at once. When one has brought addresses, the other
// has 50 ms more (RFC 8305 section 3). Search domains of the system are not used: names are absolute.
class Resolver {
 public:
  struct Options {
    // DNS servers as "192.0.2.53", "192.0.2.53:5353" or "[2001:db8::53]:53". Empty: those of the system.
    std::vector<std::string> servers;
    // Read once, before DNS is asked; a missing file is as good as an empty one. Empty: none.
    std::string hosts_file = "/etc/hosts";
    // Bounds of what a record's TTL may be in the cache.
    Duration min_ttl = std::chrono::seconds(5);
    Duration max_ttl = std::chrono::seconds(300);
    // How long "no such name" and "no address" are kept. Failures of servers are not kept.
    Duration negative_ttl = std::chrono::seconds(5);
    // Names in the cache; the least recently used one goes first. 0: no cache.
    size_t max_entries = 4096;
    // How long one server has for its first answer (it doubles with each round), and rounds through all servers.
    Duration attempt_timeout = std::chrono::milliseconds(1500);
    int tries = 3;
    // Whether IPv6 addresses come first. Unset: if the machine has a route to the IPv6 internet.
    std::optional<bool> prefer_v6;
  };

  // InvalidArgument if a server is malformed; Internal if c-ares cannot start.
  static absl::StatusOr<std::unique_ptr<Resolver>> Create(const Options& options, Executor executor, const Clock& clock,
                                                          TimerQueue& timers, ThreadMetrics& metrics);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // `host` is a name as Url::host() has it, not an IP literal. `localhost` and names below it are the loopback
  // addresses (RFC 6761), whatever DNS and hosts file say.
  Task<ResolveResult> Resolve(std::string host, CancelScope& scope);

 private:
  struct Core;
  explicit Resolver(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace fetchd::server
