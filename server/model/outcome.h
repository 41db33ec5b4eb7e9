// How a fetch ended.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "model/failure.h"
#include "model/headers.h"
#include "model/trace.h"

namespace fetchd::server {

struct RedirectChain;

// The end of a fetch whose response, as far as there was one, went to its ResponseSink.
struct Outcome {
  // Unset: the response is complete, or cut as asked (`truncated`).
  std::optional<Failure> failure;
  // The body was cut to BodyLimit::max_bytes as asked.
  bool truncated = false;
  // Trailer fields of a chunked response.
  Headers trailers;
  // The redirects that were followed; null: none.
  std::shared_ptr<const RedirectChain> redirects;
  // Attempts made, at all URLs together.
  int attempts = 0;
  // When the origin said it would answer again (Retry-After).
  std::optional<WallTime> retry_at;
  // What happened, if the caller asked for it (FetchSpec::explain).
  std::unique_ptr<Trace> trace;

  bool ok() const { return !failure.has_value(); }
};

}  // namespace fetchd::server
