// What can be refused by looking at a URL alone.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "guard/address_guard.h"
#include "model/url.h"

namespace fetchd::server {

// Ports `first` to `last`, both included.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
};

// Checks each URL of a fetch, redirect or page before any I/O. Immutable, so any thread may ask.
class UrlGuard {
 public:
  struct Options {
    // The only ports that may be fetched. Default (empty): all but the "bad ports" of the Fetch standard, on which
    // other protocols listen that could be talked into something by HTTP (SMTP, IRC, ...).
    std::vector<PortRange> allowed_ports;
  };

  // `address_guard` outlives this.
  UrlGuard(Options options, const AddressGuard& address_guard);

  // PermissionDenied with a message for the caller if the port is not allowed, if the host is an address that the
  // address guard refuses, or if it is `localhost` or below it (RFC 6761) and the guard refuses 127.0.0.1 and ::1.
  absl::Status Check(const Url& url) const;
  // A part of Check.
  bool PortAllowed(uint16_t port) const;

 private:
  Options options_;
  const AddressGuard& address_guard_;
};

}  // namespace fetchd::server
