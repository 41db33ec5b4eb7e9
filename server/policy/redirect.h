// Whether a response leads elsewhere, and with what request: the redirects of the Fetch standard.
#pragma once

#include <cstdint>

#include "model/failure.h"
#include "model/redirect.h"
#include "model/request.h"
#include "model/response_head.h"

namespace fetchd::server {

// What a response means for the way of a fetch.
enum class RedirectVerdict : uint8_t {
  kNone,    // it is no redirect, or none is wanted
  kFollow,  // another request goes to `url`
  kReturn,  // it is a redirect, but its request cannot be sent again
  kRefuse   // it leads where this fetch may not go
};

struct RedirectDecision {
  RedirectVerdict verdict = RedirectVerdict::kNone;
  // Where it leads, if that could be told.
  Url url;
  // The next request is a GET without a body, or still a HEAD.
  bool drops_body = false;
  // With kRefuse.
  Failure failure;
};

struct RedirectQuestion {
  const HopOptions& options;
  // The request that was answered.
  const FetchSpec& spec;
  bool streamed_body = false;
  const ResponseHead& head;
  // Redirects that this fetch has followed before.
  int followed = 0;
};

// Decides by status (301, 302, 303, 307 and 308 alone) and Location. Whether the next URL may be fetched at all is left
// to the guard.
RedirectDecision DecideRedirect(const RedirectQuestion& question);

// Turns a request into the one that a redirect with kFollow leads to: URL, method, body, and what of the headers may go
// there. Secrets are left out on a change of origin, and so are not there for any later step.
void FollowRedirect(RedirectDecision&& decision, FetchSpec& spec);

}  // namespace fetchd::server
