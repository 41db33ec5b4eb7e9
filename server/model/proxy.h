// A proxy that fetches may go through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "model/ip_address.h"
#include "model/no_proxy.h"
#include "model/origin.h"
#include "model/request.h"

namespace fetchd::server {

// As the configuration has it. Immutable once it is shared; a FetchSpec's route, connections and dials hold it.
struct Proxy {
  enum class Kind : uint8_t {
    kHttp,   // CONNECT for https, the URL in the request line for http (RFC 9112 section 3.2.2)
    kSocks5  // RFC 1928, with the user name and password of RFC 1929 if there are any
  };
  // What becomes of the names of origins.
  enum class Names : uint8_t {
    kPinned,   // resolved here, checked by the guard, and the proxy is asked for the address that was checked
    kChecked,  // resolved and checked here, and the proxy is asked for the name, which it resolves itself
    kRemote    // resolved by the proxy alone; the guard sees no address
  };

  std::string name;
  Kind kind = Kind::kHttp;
  // Host as Url::host() has it, and as an address if it is one.
  std::string host;
  std::optional<IpAddress> literal;
  uint16_t port = 0;
  // Secrets, for no log or message. Empty: none. For kSocks5, up to 255 bytes each.
  std::string username;
  std::string password;
  // Of kHttp: the value of the field proxy-authorization (RFC 7617). Empty: none.
  std::string authorization;
  Names names = Names::kPinned;
  // From the TCP connection to the open way to the origin.
  Duration handshake_timeout = std::chrono::seconds(5);
  NoProxy no_proxy;
  // A request may name it.
  bool on_request = false;

  bool operator==(const Proxy&) const = default;
};

// `proxy` (null: none) gets whole requests (absolute-form), rather than opening a tunnel for them.
inline bool IsForwarded(const Proxy* proxy, HttpVersion version, Scheme scheme) {
  return proxy != nullptr && proxy->kind == Proxy::Kind::kHttp && scheme == Scheme::kHttp &&
         version != HttpVersion::kHttp2;
}
inline bool IsForwarded(const FetchSpec& spec) {
  return IsForwarded(spec.route.proxy.get(), spec.route.version, spec.url.scheme());
}

}  // namespace fetchd::server
