// The Link header (RFC 8288).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/headers.h"

namespace fetchd::server {

// The largest Link header understood, all fields together, in bytes.
inline constexpr size_t kMaxLinkHeaderSize = 64 * 1024;

// The target of the first link with relation type `rel` (compared without case) in the Link fields, as it stands there:
// absolute, or relative to the page. nullopt if there is none.
//
// Only the first `rel` parameter of a link counts (RFC 8288 section 3.3); it may list several types. A link with a
// non-empty `anchor` speaks of another resource and is passed over (section 3.2). InvalidArgument for a malformed or
// over-large header, so that a broken one is not taken for the end of a list.
absl::StatusOr<std::optional<std::string>> FindLink(const Headers& headers, std::string_view rel);

}  // namespace fetchd::server
