// What a caller wants a response's body to be.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/request.h"

namespace fetchd::server {

// See fetchd.v1.Expectations and FetchRequest.select. Holds for responses with a 2xx status; all others go to the
// caller as they are. Shared by all that is done for a fetch; immutable.
struct BodyContract {
  enum class Digest : uint8_t {
    kIgnore,
    kIfPresent,  // what Repr-Digest and Content-Digest (RFC 9530) say must be so
    kRequire     // and one of them must be there
  };

  // Media types in lower case, without parameters: "text/html", "text/*", "*/*". Empty: any.
  std::vector<std::string> content_types;
  // Of the decoded body, before anything is selected.
  std::optional<std::array<uint8_t, 32>> sha256;
  // Of the body as it was received.
  Digest digest = Digest::kIgnore;
  // The decoded body is well-formed JSON.
  bool json = false;
  // A JSON pointer (RFC 6901): the caller gets what stands there in the decoded body.
  std::optional<std::string> select;
  // A body that is JSON is held in memory whole, as far as it has no more bytes than this.
  uint64_t max_held_bytes = 32 * 1024 * 1024;
  // Of what is selected. FetchSpec::body_limit is that of the body then.
  BodyLimit select_limit;
};

}  // namespace fetchd::server
