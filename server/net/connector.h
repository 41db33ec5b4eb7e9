// How connections come to be.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/failure.h"
#include "model/ip_address.h"
#include "model/origin.h"
#include "model/request.h"
#include "net/cancel_scope.h"
#include "net/resolver.h"
#include "net/task.h"
#include "net/transport.h"
#include "telemetry/records.h"

namespace fetchd::server {

// Whom to connect to.
struct ConnectTarget {
  Origin origin;
  // The origin's host as an address, if it is one (Url::host_address()): it is not resolved then.
  std::optional<IpAddress> literal;
  // `dns`, `connect` and `tls` count.
  Timeouts timeouts;
  // What may be spoken: kHttp2 or nothing, kAuto as the origin likes (by ALPN, so https only).
  HttpVersion version = HttpVersion::kAuto;
  // The way leads through it; null: directly.
  std::shared_ptr<const Proxy> proxy;
  // Takes out, of the addresses that may be dialled, those that are not worth it now; leaves one at least. May be
  // empty. Not asked about `literal`.
  std::function<void(std::vector<IpAddress>&)> leave_out;
};

// Either a transport or a failure.
struct ConnectResult {
  // Ready for the first byte of HTTP.
  std::unique_ptr<Transport> transport;
  // HTTP/2 is to be spoken on it.
  bool http2 = false;
  // Always with processed = kNo. If the scope stopped, its code is scope.reason().
  std::optional<Failure> failure;
  // `dns`, `connect`, `proxy` and `tls`, each set if the phase was entered, also when it failed.
  PhaseTimes phases;
  // Addresses that refused or broke off, also if another one was reached.
  std::vector<IpAddress> failed;

  bool ok() const { return transport != nullptr; }
};

// Opens connections on one engine thread.
class Connector {
 public:
  virtual ~Connector() = default;
  // Nothing it started is left running when it returns. `scope` and the connector outlive the call.
  virtual Task<ConnectResult> Connect(ConnectTarget target, CancelScope& scope) = 0;
  // What Connect would find for a name; see Resolver::Resolve. Of those that do without names: always a failure.
  virtual Task<ResolveResult> Resolve(std::string host, CancelScope& scope);
};

}  // namespace fetchd::server
