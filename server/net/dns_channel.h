// Questions to DNS servers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/timer_queue.h"
#include "model/ip_address.h"
#include "net/task.h"

namespace fetchd::server {

// What one question came to.
struct DnsAnswer {
  enum class Kind {
    kAddresses,
    kNoName,     // NXDOMAIN, or a name DNS cannot hold
    kNoAddress,  // the name exists without an address of that family
    kFailed,     // servers failed, refused or were silent
  };
  Kind kind = Kind::kFailed;
  std::vector<IpAddress> addresses;
  // The shortest of the records, CNAMEs included.
  Duration ttl{};
  // For people, unless there are addresses.
  std::string error;
};

// c-ares driven by an engine thread's event loop and timers. Belongs to that thread. Destroying it answers what is open
// with kFailed.
class DnsChannel {
 public:
  struct Options {
    // See Resolver::Options.
    std::vector<std::string> servers;
    Duration attempt_timeout = std::chrono::milliseconds(1500);
    int tries = 3;
  };
  static absl::StatusOr<std::unique_ptr<DnsChannel>> Create(const Options& options, Executor executor,
                                                            const Clock& clock, TimerQueue& timers);
  ~DnsChannel();
  DnsChannel(const DnsChannel&) = delete;
  DnsChannel& operator=(const DnsChannel&) = delete;

  // Asks for the A or AAAA records of an absolute name. `done` is called exactly once, perhaps before this returns; it
  // must not destroy the channel.
  void Ask(const std::string& name, IpAddress::Family family, absl::AnyInvocable<void(DnsAnswer)> done);

 private:
  struct Core;
  explicit DnsChannel(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace fetchd::server
