// What is said to a proxy before the way to the origin is open.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/failure.h"
#include "model/ip_address.h"
#include "model/proxy.h"
#include "net/cancel_scope.h"
#include "net/task.h"
#include "net/transport.h"

namespace fetchd::server {

// Where the proxy is asked to lead.
struct TunnelTarget {
  std::string host;
  // If set, the proxy is asked for this address and not for the host.
  std::optional<IpAddress> address;
  uint16_t port = 0;
  // Bytes of the origin may come before it was sent any: it speaks HTTP/2 by prior knowledge. Else such bytes are the
  // proxy's, and refused.
  bool origin_speaks_first = false;
};

// Has the proxy at the far end of `transport`, a fresh connection, open a tunnel: by CONNECT (RFC 9110 section 9.3.6)
// or SOCKS5 (RFC 1928, 1929), by the proxy's kind. Nullopt: the next byte is the origin's. Nothing beyond the proxy's
// answer is read from `transport`.
//
// Failures have phase kProxy and processed kNo. kProxyAuthenticationRequired, kProxyRefused, kProxyProtocolError,
// kProxyUnavailable (the connection ended); kDestinationUnavailable and kConnectionRefused if the proxy says that it
// cannot reach the origin (CONNECT: status 5xx); or the scope's reason. What is said of the proxy names it, and never
// its credentials. All that is referred to outlives the call.
Task<std::optional<Failure>> OpenTunnel(Transport& transport, const Proxy& proxy, TunnelTarget target,
                                        CancelScope& scope);

}  // namespace fetchd::server
