// Files that the configuration names.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace fetchd::server {

// The bytes of a regular file, pipe or device of at most `max_bytes`. NotFound, PermissionDenied, InvalidArgument (too
// large, a directory) or Unavailable, with a message that names the file.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes);

// Writes a file so that a reader sees all of `text` or no file of this name. Unavailable, naming the file, if it
// cannot.
absl::Status WriteFileAtomically(const std::string& path, const std::string& text);

}  // namespace fetchd::server
