// The rules of single fields. Each check returns what is wrong, for the caller to read, or null.
#pragma once

#include <google/protobuf/duration.pb.h>

#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

// An RFC 9110 token (section 5.6.2), not empty.
bool IsToken(std::string_view text);
// A token of at most 32 bytes, not CONNECT or TRACE.
const char* CheckMethod(std::string_view method);
// A token of at most 256 bytes that is not one of the fields fetchd writes itself.
const char* CheckHeaderName(std::string_view name);
// RFC 9110 section 5.5: no CR, LF, NUL, no blanks at either end; at most 16 KiB.
const char* CheckHeaderValue(std::string_view value);
// A caller's name: 1 to 64 of [A-Za-z0-9._-].
const char* CheckCaller(std::string_view caller);
// Sets `into` to a valid google.protobuf.Duration that is not negative; what is longer than Duration can hold becomes
// the longest one.
const char* ReadDuration(const google::protobuf::Duration& value, Duration& into);

}  // namespace fetchd::server
