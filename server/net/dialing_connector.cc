#include "net/dialing_connector.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <exception>
#include <utility>

#include "base/text.h"
#include "model/proxy.h"
#include "net/event.h"
#include "net/stopwatch.h"
#include "net/tcp_transport.h"
#include "net/tls_transport.h"

namespace fetchd::server {
namespace {

Failure MakeFailure(FailureCode code, Phase phase, std::string detail) {
  return {code, phase, Processed::kNo, std::move(detail), false};
}

// What the attempts came to that brought no connection.
struct DialErrors {
  size_t count = 0;
  bool all_refused = true;
  std::string text;
  std::vector<IpAddress> addresses;

  void Add(const Endpoint& endpoint, const error_code& ec) {
    ++count;
    addresses.push_back(endpoint.address);
    all_refused = all_refused && ec == asio::error::connection_refused;
    // Some names have dozens of addresses.
    if (count <= 4) text += Concat(count > 1 ? "; " : "", "connecting to ", endpoint.ToString(), ": ", ec.message());
  }
  Failure ToFailure() const {
    return MakeFailure(all_refused ? FailureCode::kConnectionRefused : FailureCode::kDestinationUnavailable,
                       Phase::kConnect, text);
  }
};

}  // namespace

// Attempts that run side by side; lives in OpenSocket's frame, which waits for all of them.
struct DialingConnector::Race {
  Race(CancelScope& parent, Executor executor, const std::vector<Endpoint>& to)
      : scope(parent, kNever, FailureCode::kInternal), changed(std::move(executor)), endpoints(to) {}
  CancelScope scope;
  // An attempt has ended.
  Event changed;
  const std::vector<Endpoint>& endpoints;
  size_t running = 0;
  std::unique_ptr<Socket> winner;
  Endpoint winner_endpoint;
  DialErrors errors;
};

DialingConnector::DialingConnector(Options options, Executor executor, Resolver& resolver, const AddressGuard& guard,
                                   Dialler& dialler, const TlsContext& tls, Random& random, ThreadMetrics& metrics)
    : options_(options),
      executor_(std::move(executor)),
      resolver_(resolver),
      guard_(guard),
      dialler_(dialler),
      tls_(tls),
      random_(random),
      metrics_(metrics),
      sessions_(options.max_tls_sessions) {}

// Spreads load over the addresses of each family; the order of families stays as the resolver made it.
void DialingConnector::Shuffle(std::vector<IpAddress>& addresses) {
  for (size_t i = addresses.size(); i > 1; --i) {
    size_t others = 0;
    for (size_t j = 0; j < i; ++j) others += addresses[j].family() == addresses[i - 1].family() ? 1 : 0;
    uint64_t pick = random_() % others;
    for (size_t j = 0; j < i; ++j) {
      if (addresses[j].family() == addresses[i - 1].family() && pick-- == 0) {
        std::swap(addresses[j], addresses[i - 1]);
        break;
      }
    }
  }
}

Task<std::optional<Failure>> DialingConnector::FindEndpoints(const ConnectTarget& target, CancelScope& scope,
                                                             std::vector<Endpoint>& endpoints) {
  std::vector<IpAddress> addresses;
  if (target.literal.has_value()) {
    addresses.push_back(*target.literal);
  } else {
    CancelScope phase(scope, After(scope.Now(), target.timeouts.dns), FailureCode::kDnsTimeout);
    ResolveResult resolved = co_await resolver_.Resolve(target.origin.host, phase);
    if (!resolved.ok()) co_return std::move(resolved.failure);
    addresses = std::move(resolved.addresses);
    Shuffle(addresses);
  }
  std::string reason;
  std::erase_if(addresses, [&](const IpAddress& address) {
    AddressGuard::Verdict verdict = guard_.Check(address);
    if (!verdict.allowed && reason.empty()) reason = std::move(verdict.reason);
    return !verdict.allowed;
  });
  if (target.leave_out && addresses.size() > 1) target.leave_out(addresses);
  for (const IpAddress& address : addresses) endpoints.push_back({address, target.origin.port});
  if (!endpoints.empty()) co_return std::nullopt;
  co_return MakeFailure(FailureCode::kDestinationIpProhibited,
                        target.literal.has_value() ? Phase::kPolicy : Phase::kDns,
                        Concat(target.origin.host, " has no address that may be reached: ", reason));
}

Task<void> DialingConnector::RunAttempt(Race& race, size_t i) {
  Dialler::Result result = co_await dialler_.Dial(race.endpoints[i], race.scope);
  --race.running;
  if (!result.ec && race.winner == nullptr) {
    race.winner = std::move(result.socket);
    race.winner_endpoint = race.endpoints[i];
  } else if (result.ec && !race.scope.stopped()) {
    race.errors.Add(race.endpoints[i], result.ec);
  }
  race.changed.Set();
}

Task<std::optional<Failure>> DialingConnector::OpenSocket(const ConnectTarget& target, CancelScope& scope,
                                                          const std::vector<Endpoint>& endpoints,
                                                          std::unique_ptr<Socket>& socket, Endpoint& peer,
                                                          std::vector<IpAddress>& failed) {
  CancelScope phase(scope, After(scope.Now(), target.timeouts.connect), FailureCode::kConnectionTimeout);
  DialErrors errors;
  if (endpoints.size() == 1) {
    Dialler::Result result = co_await dialler_.Dial(endpoints[0], phase);
    if (!result.ec) {
      socket = std::move(result.socket);
      peer = endpoints[0];
      co_return std::nullopt;
    }
    errors.Add(endpoints[0], result.ec);
    if (!phase.stopped()) failed = errors.addresses;
  } else {
    Race race(phase, executor_, endpoints);
    size_t begun = 0;
    while (race.winner == nullptr && !phase.stopped() && (begun < endpoints.size() || race.running > 0)) {
      if (begun < endpoints.size()) {
        ++race.running;
        Spawn(executor_, RunAttempt(race, begun++), [](std::exception_ptr error) {
          if (error) std::rethrow_exception(error);
        });
      }
      Instant next = begun < endpoints.size() ? After(scope.Now(), options_.attempt_delay) : kNever;
      CancelScope turn(phase, next, FailureCode::kInternal);
      co_await race.changed.Wait(turn);
    }
    race.scope.Cancel(FailureCode::kCancelled);
    // Whatever has happened to `scope`: the attempts refer to `race`, and end soon as their scope has stopped.
    CancelScope unstoppable(scope.clock(), scope.timers(), kNever, FailureCode::kInternal);
    while (race.running > 0) co_await race.changed.Wait(unstoppable);
    failed = race.errors.addresses;
    if (race.winner != nullptr) {
      socket = std::move(race.winner);
      peer = race.winner_endpoint;
      co_return std::nullopt;
    }
    errors = std::move(race.errors);
  }
  if (!phase.stopped()) co_return errors.ToFailure();
  // Time is up for those that have not answered either, unless it is the caller who has none left.
  if (phase.reason() == FailureCode::kConnectionTimeout) {
    failed.clear();
    for (const Endpoint& endpoint : endpoints) failed.push_back(endpoint.address);
  }
  std::string tried = endpoints[0].ToString();
  if (endpoints.size() > 1) tried += Concat(" and ", endpoints.size() - 1, " more");
  co_return MakeFailure(phase.reason(), Phase::kConnect, Concat("no connection in time to ", tried));
}

Task<ConnectResult> DialingConnector::Connect(ConnectTarget target, CancelScope& scope) {
  if (target.proxy != nullptr) return ConnectByProxy(std::move(target), scope);
  return ConnectDirectly(std::move(target), scope);
}

Task<ConnectResult> DialingConnector::ConnectDirectly(ConnectTarget target, CancelScope& scope) {
  ConnectResult result;
  std::vector<Endpoint> endpoints;
  {
    std::optional<Duration> ignored;
    Stopwatch watch(scope.clock(), target.literal.has_value() ? ignored : result.phases.dns);
    result.failure = co_await FindEndpoints(target, scope, endpoints);
  }
  if (result.failure.has_value()) co_return result;
  std::unique_ptr<Socket> socket;
  Endpoint peer;
  {
    Stopwatch watch(scope.clock(), result.phases.connect);
    result.failure = co_await OpenSocket(target, scope, endpoints, socket, peer, result.failed);
  }
  if (!result.failure.has_value()) co_await Finish(target, std::move(socket), peer, scope, result);
  co_return result;
}

Task<void> DialingConnector::Finish(const ConnectTarget& target, std::unique_ptr<Socket> socket, Endpoint peer,
                                    CancelScope& scope, ConnectResult& result) {
  if (target.origin.scheme == Scheme::kHttp) {
    result.transport = std::make_unique<TcpTransport>(std::move(socket), peer);
    result.http2 = target.version == HttpVersion::kHttp2;
    co_return;
  }
  std::string session_key = target.origin.ToString();
  // Two ways to an origin may end at different servers.
  if (target.proxy != nullptr) session_key += Concat(" by ", target.proxy->name);
  auto transport = std::make_unique<TlsTransport>(std::move(socket), peer, tls_, sessions_, target.origin.host,
                                                  std::move(session_key), target.version);
  {
    Stopwatch watch(scope.clock(), result.phases.tls);
    CancelScope phase(scope, After(scope.Now(), target.timeouts.tls), FailureCode::kTlsTimeout);
    result.failure = co_await transport->Handshake(phase, metrics_);
  }
  if (result.failure.has_value()) {
    if (!scope.stopped()) result.failed.push_back(peer.address);
    co_return;
  }
  result.http2 = transport->chose_http2();
  if (target.version == HttpVersion::kHttp2 && !result.http2) {
    result.failure = MakeFailure(FailureCode::kHttpVersionNotAvailable, Phase::kTls,
                                 Concat(target.origin.host, " does not speak HTTP/2"));
    co_return;
  }
  result.transport = std::move(transport);
}

}  // namespace fetchd::server
