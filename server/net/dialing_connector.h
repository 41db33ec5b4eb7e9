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
