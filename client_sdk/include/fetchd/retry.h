#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "fetchd/v1/fetch.pb.h"

namespace fetchd {

// How often *reaching fetchd* is tried. Origins are retried by fetchd itself, as `FetchRequest.retry` says.
//
// The work is done by gRPC's own retry policy: a call that ended with UNAVAILABLE before any reply is made again, after
// a random wait between 0 and a bound that doubles each time. A connection to fetchd that breaks during a call ends
// with UNAVAILABLE too, and then fetchd may have sent the request already; so only idempotent requests are made again.
// Others are repeated only where gRPC knows that fetchd never saw them.
struct RetryOptions {
  // Calls in all, the first included: 1 to 5 (gRPC's own cap). 1 means no retries.
  uint32_t max_attempts = 4;
  // Bound of the first wait. More than zero.
  absl::Duration initial_backoff = absl::Milliseconds(200);
  // Bound of every wait.
  absl::Duration max_backoff = absl::Seconds(5);
};

// Whether sending `request` twice is safe, by the rule of v1.RetryPolicy: by its method (GET, HEAD, PUT, DELETE,
// OPTIONS, TRACE, QUERY, PROPFIND; an unset one is POST with a form, JSON or multipart body, else GET), by an
// `idempotency-key` header, or by the caller's word `retry.idempotent`.
bool IsIdempotent(const v1::FetchRequest& request);

// The gRPC service config (JSON) that carries `options` out.
std::string RetryServiceConfig(const RetryOptions& options);

}  // namespace fetchd
