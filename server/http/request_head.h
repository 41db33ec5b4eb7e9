// The request line and fields of an HTTP/1.1 request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/request.h"

namespace fetchd::server {

// Sent by requests that have no `user-agent` of their own.
inline constexpr std::string_view kUserAgent = "fetchd/0.1";

// How the request's body is framed (RFC 9112 section 6).
struct RequestFraming {
  enum class Kind { kNone, kLength, kChunked };
  Kind kind = Kind::kNone;
  // With kLength.
  uint64_t length = 0;

  // A body held in FetchSpec: no framing field without a body, save for POST, PUT and PATCH, which say
  // `content-length: 0` (RFC 9110 section 8.6).
  static RequestFraming OfBody(const FetchSpec& spec);
  // A streamed body.
  static RequestFraming OfStream(std::optional<uint64_t> length);
};

// Appends the head to `out`: request line, `host`, the caller's fields in order, `user-agent` and `accept` if they are
// missing, `accept-encoding` if the spec asks for it, the framing field, `expect` if the body is held back for it. For
// a proxy that forwards the request (IsForwarded) the request line has the whole URL (RFC 9112 section 3.2.2), and its
// credentials come after `host`, instead of a `proxy-authorization` of the caller's. False if the result would have
// other lines than these, because some part holds a CR or LF; rpc/ refuses such requests long before, so that is a bug
// of ours, and nothing may be sent.
bool AppendRequestHead(const FetchSpec& spec, RequestFraming framing, std::string& out);

// The body is held back for 100 (Continue): the fetch asks for it, and there may be a body (RFC 9110 section 10.1.1).
inline bool ExpectsContinue(const FetchSpec& spec, RequestFraming framing) {
  return spec.expect_continue > Duration::zero() &&
         (framing.kind == RequestFraming::Kind::kChunked || framing.length > 0);
}

}  // namespace fetchd::server
