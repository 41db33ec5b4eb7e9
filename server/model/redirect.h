// Redirects and sessions: what leads a fetch from one URL to the next.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/url.h"

namespace fetchd::server {

// Which redirects are followed; see fetchd.v1.RedirectPolicy.
enum class RedirectMode : uint8_t {
  kNone,        // none: a 3xx is the response
  kSameOrigin,  // within the origin
  kFollow       // all but those from https to http
};

// What a fetch does besides one request and its response. Shared by all copies of its FetchSpec.
struct HopOptions {
  RedirectMode mode = RedirectMode::kNone;
  // Redirects that are followed, 1 to 20.
  int max_redirects = 10;
  // The caller's name for the jar whose cookies go along; empty: none do.
  std::string session;
};

// One redirect that was followed.
struct Redirect {
  // 301, 302, 303, 307 or 308.
  int status = 0;
  // Where it led.
  Url url;
};

// Those of one fetch, in order: the last one's URL is that of the response. Not empty.
struct RedirectChain {
  std::vector<Redirect> redirects;
};

}  // namespace fetchd::server
