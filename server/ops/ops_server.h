// The operator's door: health, readiness and metrics by plain HTTP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "model/ip_address.h"

namespace fetchd::server {

struct OpsOptions {
  // Port 0 takes a free one.
  Endpoint listen = {.address = IpAddress::V4({127, 0, 0, 1}), .port = 9464};
  // A connection that does not bring its request, or does not take its response, in this time is closed.
  Duration timeout = std::chrono::seconds(5);
  // Open connections; one more is closed at once.
  size_t max_connections = 32;
};

// What the pages show. Called on the thread of the server, one at a time.
struct OpsPages {
  absl::AnyInvocable<std::string()> metrics;
  // The type of `metrics`.
  std::string metrics_content_type;
  absl::AnyInvocable<bool()> ready;
};

// Serves GET and HEAD of
//   /metrics  the metrics page
//   /livez    200 as long as the process can answer
//   /readyz   200 while callers are welcome, 503 before and while draining
// on a thread of its own. Requests have at most 8 KiB of head and no body. Destroying it closes everything and joins
// the thread.
class OpsServer {
 public:
  // Unavailable if it cannot listen; the message says where and why.
  static absl::StatusOr<std::unique_ptr<OpsServer>> Start(OpsOptions options, OpsPages pages);
  virtual ~OpsServer() = default;

  // Where it listens, with the port that was taken.
  virtual const Endpoint& endpoint() const = 0;
};

}  // namespace fetchd::server
