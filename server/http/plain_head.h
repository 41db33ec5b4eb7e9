// The heads of responses as nearly all of them are.
#pragma once

#include <cstddef>
#include <string_view>

#include "http/http_limits.h"
#include "model/response_head.h"

namespace fetchd::server {

// Parses the head at the front of `in` in one pass if it is plain: whole, far within the limits, HTTP/1.1, a final
// status with a body of one Content-Length, and nothing else that bears on framing or on the connection but
// `connection: keep-alive`. Returns its size. 0, with `head` in any state, if it is anything else, be it malformed or
// not: ResponseCodec then judges it line by line. The answer to HEAD is not for this function, nor is what follows the
// first bytes of a head that was not whole.
size_t ParsePlainHead(std::string_view in, const HttpLimits& limits, ResponseHead& head);

}  // namespace fetchd::server
