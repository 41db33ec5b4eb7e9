// Finds items and values in a page's JSON without changing a byte of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/pagination.h"

namespace fetchd::server {

// A slice of a body.
struct JsonSlice {
  uint32_t at = 0;
  uint32_t size = 0;
  std::string_view In(std::string_view body) const { return body.substr(at, size); }
};

// What a page holds.
struct PageItems {
  // Each element of the items array, from its first byte to its last.
  std::vector<JsonSlice> items;
  // What stands at the value pointer.
  JsonValue value;
  // Where it stands. Unset: nowhere.
  std::optional<JsonSlice> value_slice;
};

// InvalidArgument unless `pointer` is a JSON pointer (RFC 6901 section 3) of at most 1 KiB.
absl::Status ValidateJsonPointer(std::string_view pointer);

// Reads a page (RFC 8259; a byte order mark is skipped). The whole document is checked before anything of it is used:
// syntax, UTF-8, and at most 256 levels of nesting. Numbers of any size and precision are accepted. Of members with the
// same name the first counts.
//
// `items`, if set, must lead to an array; null stands for an empty one. `value` may lead to anything. Both have passed
// ValidateJsonPointer. InvalidArgument with a message for the caller otherwise.
absl::StatusOr<PageItems> ParsePage(std::string_view body, std::optional<std::string_view> items,
                                    std::optional<std::string_view> value);

// Where in the body stands what `pointer` leads to, from its first byte to its last; nullopt if nothing does, or
// without a pointer. The whole document is checked, by the rules of ParsePage. InvalidArgument with a message that
// calls it `subject` and says where it is not JSON.
absl::StatusOr<std::optional<JsonSlice>> SelectJson(std::string_view body, std::string_view subject,
                                                    std::optional<std::string_view> pointer);

// Whether `text` is well-formed JSON, by the same rules but that it begins with no byte order mark (RFC 8259 section
// 8.1 forbids to add one). InvalidArgument with a message that calls it `subject` and says where it is not.
absl::Status CheckJson(std::string_view text, std::string_view subject);

}  // namespace fetchd::server
