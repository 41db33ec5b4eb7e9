// The part of DialingConnector that goes through proxies.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "model/proxy.h"
#include "net/dialing_connector.h"
#include "net/proxy_handshake.h"
#include "net/stopwatch.h"
#include "net/tcp_transport.h"

namespace fetchd::server {
namespace {

// Addresses of an origin that a proxy is asked for, one after the other.
constexpr size_t kMaxAsked = 4;

// A failure on the way to the proxy, in terms of the proxy, so that nobody takes it for the origin's.
Failure OfProxy(Failure failure, const Proxy& proxy) {
  switch (failure.code) {
    case FailureCode::kDnsError:
    case FailureCode::kConnectionRefused:
    case FailureCode::kDestinationUnavailable:
      failure.code = FailureCode::kProxyUnavailable;
      break;
    case FailureCode::kDnsTimeout:
    case FailureCode::kConnectionTimeout:
      failure.code = FailureCode::kProxyTimeout;
      break;
    default:
      break;
  }
  failure.detail = Concat("proxy ", proxy.name, ": ", failure.detail);
  return failure;
}

// The proxy works, and says that it cannot reach what it was asked for.
bool IsOutOfReach(const Failure& failure) {
  return failure.phase == Phase::kProxy &&
         (failure.code == FailureCode::kDestinationUnavailable || failure.code == FailureCode::kConnectionRefused);
}

}  // namespace

Task<std::optional<Failure>> DialingConnector::FindProxy(const ConnectTarget& target, CancelScope& scope,
                                                         std::vector<Endpoint>& endpoints) {
  const Proxy& proxy = *target.proxy;
  std::vector<IpAddress> addresses;
  if (proxy.literal.has_value()) {
    addresses.push_back(*proxy.literal);
  } else {
    CancelScope phase(scope, After(scope.Now(), target.timeouts.dns), FailureCode::kDnsTimeout);
    ResolveResult resolved = co_await resolver_.Resolve(proxy.host, phase);
    if (!resolved.ok()) co_return OfProxy(*std::move(resolved.failure), proxy);
    addresses = std::move(resolved.addresses);
    Shuffle(addresses);
  }
  std::string reason;
  for (const IpAddress& address : addresses) {
    AddressGuard::Verdict verdict = guard_.CheckProxy(address);
    if (verdict.allowed) endpoints.push_back({address, proxy.port});
    if (!verdict.allowed && reason.empty()) reason = std::move(verdict.reason);
  }
  if (!endpoints.empty()) co_return std::nullopt;
  co_return Failure{
      FailureCode::kDestinationIpProhibited, Phase::kProxy, Processed::kNo,
      Concat("proxy ", proxy.name, " has no address that may be reached (guard.allow_proxy_cidrs): ", reason), false};
}

Task<std::optional<Failure>> DialingConnector::OpenWay(const ConnectTarget& target, const IpAddress* address,
                                                       const std::vector<Endpoint>& endpoints, CancelScope& scope,
                                                       std::unique_ptr<Socket>& socket, Endpoint& peer,
                                                       PhaseTimes& phases) {
  const Proxy& proxy = *target.proxy;
  {
    Stopwatch watch(scope.clock(), phases.connect);
    // Failed addresses of the proxy say nothing of those of the origin.
    std::vector<IpAddress> failed;
    std::optional<Failure> failure = co_await OpenSocket(target, scope, endpoints, socket, peer, failed);
    if (failure.has_value()) co_return OfProxy(*std::move(failure), proxy);
  }
  if (IsForwarded(target.proxy.get(), target.version, target.origin.scheme)) co_return std::nullopt;
  Stopwatch watch(scope.clock(), phases.proxy);
  CancelScope phase(scope, After(scope.Now(), proxy.handshake_timeout), FailureCode::kProxyTimeout);
  TcpTransport transport(std::move(socket), peer);
  TunnelTarget wanted;
  wanted.host = target.origin.host;
  wanted.port = target.origin.port;
  if (address != nullptr) wanted.address = *address;
  wanted.origin_speaks_first = target.origin.scheme == Scheme::kHttp && target.version == HttpVersion::kHttp2;
  std::optional<Failure> failure = co_await OpenTunnel(transport, proxy, std::move(wanted), phase);
  if (!failure.has_value()) socket = transport.Release();
  co_return failure;
}

Task<ConnectResult> DialingConnector::ConnectByProxy(ConnectTarget target, CancelScope& scope) {
  const Proxy& proxy = *target.proxy;
  ConnectResult result;
  // The origin's, checked; then the proxy's.
  std::vector<Endpoint> wanted, endpoints;
  const bool looks_up = proxy.names != Proxy::Names::kRemote || target.literal.has_value();
  {
    const bool asks_dns = (looks_up && !target.literal.has_value()) || !proxy.literal.has_value();
    std::optional<Duration> ignored;
    Stopwatch watch(scope.clock(), asks_dns ? result.phases.dns : ignored);
    if (looks_up) result.failure = co_await FindEndpoints(target, scope, wanted);
    if (!result.failure.has_value()) result.failure = co_await FindProxy(target, scope, endpoints);
  }
  if (result.failure.has_value()) co_return result;
  const bool pinned = target.literal.has_value() || proxy.names == Proxy::Names::kPinned;
  const bool asks_by_address = pinned && !IsForwarded(target.proxy.get(), target.version, target.origin.scheme);
  const size_t tries = asks_by_address ? std::min(wanted.size(), kMaxAsked) : 1;
  std::unique_ptr<Socket> socket;
  Endpoint peer;
  for (size_t i = 0; i < tries; ++i) {
    const IpAddress* address = asks_by_address ? &wanted[i].address : nullptr;
    result.failure = co_await OpenWay(target, address, endpoints, scope, socket, peer, result.phases);
    if (!result.failure.has_value()) {
      // It is the origin's address whose good and bad deeds count.
      if (address != nullptr) peer = wanted[i];
      break;
    }
    if (!IsOutOfReach(*result.failure)) co_return result;
    if (address != nullptr) result.failed.push_back(*address);
  }
  if (!result.failure.has_value()) co_await Finish(target, std::move(socket), peer, scope, result);
  // Nothing is known of which address of the origin it was.
  if (!asks_by_address) result.failed.clear();
  co_return result;
}

}  // namespace fetchd::server
