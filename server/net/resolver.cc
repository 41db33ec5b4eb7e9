#include "net/resolver.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/text.h"
#include "net/dns_cache.h"
#include "net/dns_channel.h"
#include "net/event.h"
#include "net/hosts_file.h"

namespace fetchd::server {
namespace {

// RFC 8305 section 3.
constexpr Duration kResolutionDelay = std::chrono::milliseconds(50);

// Whether the kernel has a route to an address of the IPv6 internet. Sends nothing.
bool HasIpv6Route() {
  int fd = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(53);
  constexpr uint8_t kRootServer[16] = {0x20, 0x01, 0x07, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53};
  std::memcpy(&to.sin6_addr, kRootServer, sizeof kRootServer);
  bool routed = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  ::close(fd);
  return routed;
}

// RFC 8305 section 4, without measurements: families take turns.
std::vector<IpAddress> Interleave(const std::vector<IpAddress>& addresses, bool prefer_v6) {
  std::vector<IpAddress> first, second, out;
  for (const IpAddress& address : addresses) (address.is_v4() != prefer_v6 ? first : second).push_back(address);
  for (size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) out.push_back(first[i]);
    if (i < second.size()) out.push_back(second[i]);
  }
  return out;
}

}  // namespace

struct Resolver::Core {
  // One caller that waits for a look-up; lives in its coroutine.
  struct Waiter {
    explicit Waiter(Executor executor) : done(std::move(executor)) {}
    Event done;
    std::vector<IpAddress> addresses;
    std::string error;
  };

  // Two questions about one name and those who wait for them. Shared by the table of open look-ups, the callbacks of
  // its questions and its waiters.
  struct Lookup {
    Lookup(TimerQueue& timers, absl::AnyInvocable<void()> on_delay) : delay(timers, std::move(on_delay)) {}
    std::string name;
    std::optional<DnsAnswer> a, aaaa;
    // Runs once one family has answered with addresses.
    Timer delay;
    std::vector<Waiter*> waiters;
    bool ended = false;
  };

  Core(const Options& opts, Executor io, const Clock& time, TimerQueue& queue, ThreadMetrics& counters)
      : options(opts),
        executor(std::move(io)),
        clock(time),
        timers(queue),
        metrics(counters),
        prefer_v6(opts.prefer_v6.has_value() ? *opts.prefer_v6 : HasIpv6Route()),
        hosts(opts.hosts_file.empty() ? HostsFile() : HostsFile::Read(opts.hosts_file)),
        cache(opts.max_entries) {}

  std::shared_ptr<Lookup> Open(const std::string& name) {
    // The timer belongs to the look-up, so it cannot outlive it.
    auto lookup = std::make_shared<Lookup>(timers, [this, name] { End(*open.at(name)); });
    lookup->name = name;
    open[name] = lookup;
    return lookup;
  }

  void Ask(const std::shared_ptr<Lookup>& lookup) {
    metrics.dns_queries.Add(2);
    channel->Ask(lookup->name, IpAddress::Family::kV6, [this, lookup](DnsAnswer answer) {
      lookup->aaaa = std::move(answer);
      OnAnswer(*lookup, *lookup->aaaa);
    });
    channel->Ask(lookup->name, IpAddress::Family::kV4, [this, lookup](DnsAnswer answer) {
      lookup->a = std::move(answer);
      OnAnswer(*lookup, *lookup->a);
    });
  }

  void OnAnswer(Lookup& lookup, const DnsAnswer& answer) {
    if (lookup.ended) return;  // came after the delay
    if (lookup.a.has_value() && lookup.aaaa.has_value()) return End(lookup);
    // A name that does not exist does so for both families, but a broken server may say so about one: wait for both.
    if (answer.kind == DnsAnswer::Kind::kAddresses) lookup.delay.Arm(After(clock.Now(), kResolutionDelay));
  }

  void End(Lookup& lookup) {
    lookup.ended = true;
    lookup.delay.Disarm();
    DnsCache::Entry entry;
    Duration ttl = options.max_ttl;
    bool keep = true;
    for (const std::optional<DnsAnswer>* answer : {&lookup.a, &lookup.aaaa}) {
      if (!answer->has_value()) continue;
      if ((*answer)->kind == DnsAnswer::Kind::kAddresses) {
        ttl = std::min(ttl, (*answer)->ttl);
        entry.addresses.insert(entry.addresses.end(), (*answer)->addresses.begin(), (*answer)->addresses.end());
      } else if ((*answer)->kind == DnsAnswer::Kind::kFailed) {
        keep = false;
      }
    }
    if (entry.addresses.empty()) {
      // A failure is told rather than a missing family; of equals, that of A.
      bool aaaa = lookup.aaaa->kind == DnsAnswer::Kind::kFailed && lookup.a->kind != DnsAnswer::Kind::kFailed;
      entry.error = aaaa ? lookup.aaaa->error : lookup.a->error;
    } else {
      entry.addresses = Interleave(entry.addresses, prefer_v6);
      keep = true;
    }
    for (Waiter* waiter : lookup.waiters) {
      waiter->addresses = entry.addresses;
      waiter->error = entry.error;
      waiter->done.Set();
    }
    lookup.waiters.clear();
    Duration lifetime =
        entry.addresses.empty() ? options.negative_ttl : std::max(options.min_ttl, std::min(ttl, options.max_ttl));
    entry.expires = After(clock.Now(), lifetime);
    std::string name = lookup.name;
    if (keep) cache.Put(name, std::move(entry));
    open.erase(name);
  }

  Options options;
  Executor executor;
  const Clock& clock;
  TimerQueue& timers;
  ThreadMetrics& metrics;
  bool prefer_v6;
  HostsFile hosts;
  DnsCache cache;
  absl::flat_hash_map<std::string, std::shared_ptr<Lookup>> open;
  // Destroyed first: its last answers go to the members above.
  std::unique_ptr<DnsChannel> channel;
};

absl::StatusOr<std::unique_ptr<Resolver>> Resolver::Create(const Options& options, Executor executor,
                                                           const Clock& clock, TimerQueue& timers,
                                                           ThreadMetrics& metrics) {
  absl::StatusOr<std::unique_ptr<DnsChannel>> channel =
      DnsChannel::Create({options.servers, options.attempt_timeout, options.tries}, executor, clock, timers);
  if (!channel.ok()) return channel.status();
  auto core = std::make_unique<Core>(options, executor, clock, timers, metrics);
  core->channel = std::move(*channel);
  return std::unique_ptr<Resolver>(new Resolver(std::move(core)));
}

Resolver::Resolver(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Resolver::~Resolver() = default;

Task<ResolveResult> Resolver::Resolve(std::string host, CancelScope& scope) {
  Core& core = *core_;
  ResolveResult result;
  if (host.ends_with('.')) host.pop_back();
  if (host == "localhost" || host.ends_with(".localhost")) {
    std::array<uint8_t, 16> v6{};
    v6[15] = 1;
    result.addresses = Interleave({IpAddress::V4({127, 0, 0, 1}), IpAddress::V6(v6)}, core.prefer_v6);
    co_return result;
  }
  if (const std::vector<IpAddress>& found = core.hosts.Find(host); !found.empty()) {
    result.addresses = Interleave(found, core.prefer_v6);
    co_return result;
  }
  std::string error;
  if (const DnsCache::Entry* entry = core.cache.Find(host, core.clock.Now())) {
    core.metrics.dns_cache_hits.Add(1);
    result.addresses = entry->addresses;
    error = entry->error;
  } else if (scope.stopped()) {
    result.failure = Failure{scope.reason(), Phase::kDns, Processed::kNo, "not resolved: " + host, false};
    co_return result;
  } else {
    Core::Waiter waiter(core.executor);
    auto it = core.open.find(host);
    std::shared_ptr<Core::Lookup> lookup = it != core.open.end() ? it->second : nullptr;
    if (lookup != nullptr) {
      lookup->waiters.push_back(&waiter);
    } else {
      lookup = core.Open(host);
      lookup->waiters.push_back(&waiter);
      core.Ask(lookup);  // may end it at once
    }
    if (!co_await waiter.done.Wait(scope)) {
      std::erase(lookup->waiters, &waiter);
      result.failure = Failure{scope.reason(), Phase::kDns, Processed::kNo, "no answer in time for " + host, false};
      co_return result;
    }
    result.addresses = std::move(waiter.addresses);
    error = std::move(waiter.error);
  }
  if (result.addresses.empty()) {
    result.failure =
        Failure{FailureCode::kDnsError, Phase::kDns, Processed::kNo, Concat("resolving ", host, ": ", error), false};
  }
  co_return result;
}

}  // namespace fetchd::server
