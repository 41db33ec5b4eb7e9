// The patterns by which the configuration names hosts and callers.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace fetchd::server {

// A host as Url has it ("api.example.com", "192.0.2.1", "2001:db8::1"), "*.example.com" for every name below
// example.com but not itself, or "*". InvalidArgument, saying why, for what is malformed or could never match, such as
// a host in upper case or with a port.
absl::Status CheckHostPattern(std::string_view pattern);
// Whether a host pattern is "*" or begins with "*.".
bool IsWildcard(std::string_view host_pattern);

// 1 to 256 printable ASCII characters, the first or the last of which may be a "*" that stands for any text.
bool IsCallerPattern(std::string_view pattern);
// Whether a pattern that IsCallerPattern matches.
bool MatchesCaller(std::string_view pattern, std::string_view caller);

}  // namespace fetchd::server
