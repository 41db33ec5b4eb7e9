// Resolve, guard, race, handshake.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "guard/address_guard.h"
#include "net/connector.h"
#include "net/dialler.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// The Connector that dials: resolves the name, asks the address guard about every address, races the allowed ones
// (happy eyeballs, RFC 8305), and for https does the TLS handshake. What is dialled is an address that the guard has
// seen, never a name. Belongs to one engine thread, and so does everything it is given; all of it outlives this, which
// outlives the transports it made (they return TLS sessions to its cache).
//
// With a proxy, that is dialled in the same way, its addresses checked as well, and asked for the origin
// (net/proxy_handshake): for one address after the other of those that the guard allows, or, if the proxy gets names,
// for its name. Then, for https, the TLS handshake is with the origin, through the proxy.
class DialingConnector final : public Connector {
 public:
  struct Options {
    // How long one attempt has before the next address is tried beside it (RFC 8305 section 5). At least 10 ms.
    Duration attempt_delay = std::chrono::milliseconds(250);
    // Origins whose TLS sessions are kept for resumption.
    size_t max_tls_sessions = 1024;
  };

  DialingConnector(Options options, Executor executor, Resolver& resolver, const AddressGuard& guard, Dialler& dialler,
                   const TlsContext& tls, Random& random, ThreadMetrics& metrics);

  Task<ConnectResult> Connect(ConnectTarget target, CancelScope& scope) override;

 private:
  struct Race;

  Task<ConnectResult> ConnectDirectly(ConnectTarget target, CancelScope& scope);
  // proxied_connector.cc
  Task<ConnectResult> ConnectByProxy(ConnectTarget target, CancelScope& scope);
  Task<std::optional<Failure>> FindProxy(const ConnectTarget& target, CancelScope& scope,
                                         std::vector<Endpoint>& endpoints);
  // Connects to the proxy and has it open the way to `address` (null: to the origin's name).
  Task<std::optional<Failure>> OpenWay(const ConnectTarget& target, const IpAddress* address,
                                       const std::vector<Endpoint>& endpoints, CancelScope& scope,
                                       std::unique_ptr<Socket>& socket, Endpoint& peer, PhaseTimes& phases);
  // Makes `result` the transport over a socket on which HTTP, or TLS first, may begin.
  Task<void> Finish(const ConnectTarget& target, std::unique_ptr<Socket> socket, Endpoint peer, CancelScope& scope,
                    ConnectResult& result);

  // Fills `endpoints` in the order in which to try them.
  Task<std::optional<Failure>> FindEndpoints(const ConnectTarget& target, CancelScope& scope,
                                             std::vector<Endpoint>& endpoints);
  Task<std::optional<Failure>> OpenSocket(const ConnectTarget& target, CancelScope& scope,
                                          const std::vector<Endpoint>& endpoints, std::unique_ptr<Socket>& socket,
                                          Endpoint& peer, std::vector<IpAddress>& failed);
  Task<void> RunAttempt(Race& race, size_t i);
  void Shuffle(std::vector<IpAddress>& addresses);

  Options options_;
  Executor executor_;
  Resolver& resolver_;
  const AddressGuard& guard_;
  Dialler& dialler_;
  const TlsContext& tls_;
  Random& random_;
  ThreadMetrics& metrics_;
  TlsSessionCache sessions_;
};

}  // namespace fetchd::server
