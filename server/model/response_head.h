// What an origin answers before its body.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "model/content_coding.h"
#include "model/headers.h"

namespace fetchd::server {

struct RedirectChain;

// Status and fields of a final (not 1xx) response.
struct ResponseHead {
  // 200 to 599.
  int status = 0;
  Headers headers;
  // Bytes of the body if the framing tells them in advance (Content-Length, or 0 where there is no body).
  std::optional<uint64_t> content_length;
  // What led to this response; null: it is of the URL that was asked for.
  std::shared_ptr<const RedirectChain> redirects;
  // The content codings that were undone. `headers` do not have them any more, nor a content-length.
  CodingList decoded = {};
};

}  // namespace fetchd::server
