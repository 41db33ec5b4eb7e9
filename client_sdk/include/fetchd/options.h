#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include "absl/time/time.h"
#include "fetchd/retry.h"

namespace fetchd {

// TLS to fetchd (not to origins: those are fetchd's business).
struct TlsOptions {
  // CA certificates that fetchd's certificate must chain to, PEM. Empty: gRPC's default roots, the system's.
  std::string root_certificates = "";
  // This client's certificate chain and private key, PEM: for mTLS. Set both or none.
  std::string certificate_chain = "";
  std::string private_key = "";
};

// How to reach fetchd. A call's own CallOptions win over these.
struct Options {
  // A gRPC target: "host:port", "dns:///host:port", "unix:/path".
  std::string endpoint = "127.0.0.1:50051";
  // Unset: plain text, for fetchd on the same host or behind a mesh.
  std::optional<TlsOptions> tls = std::nullopt;
  // Who is calling: sent as metadata `fetchd-caller`, seen in fetchd's log. At most 64 of [A-Za-z0-9._-]. Empty: not
  // sent.
  std::string caller = "";
  // Deadline of each Fetch and CheckHealth, counted from the call. fetchd answers a little earlier, in-band, with
  // TOTAL_TIMEOUT. Keep it above `timeouts.total` (30 s as shipped).
  absl::Duration fetch_deadline = absl::Seconds(60);
  // Deadline of each Batch, Pages, Items, Stream and Upload. As shipped none: such calls last as long as their lists.
  absl::Duration stream_deadline = absl::InfiniteDuration();
  // See RetryOptions.
  RetryOptions retry = {};
};

// Options of one call.
struct CallOptions {
  // Deadline counted from the call. Unset: that of Options.
  std::optional<absl::Duration> deadline = std::nullopt;
  // A stop request cancels the call, at any moment and from any thread; it ends with CANCELLED.
  std::stop_token stop = {};
};

}  // namespace fetchd
