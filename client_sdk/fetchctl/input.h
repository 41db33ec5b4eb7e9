#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fetchctl/fetchctl.h"

namespace fetchd::fetchctl {

// The whole of a file, or of `terminal.in` for "-". NOT_FOUND names the file.
absl::StatusOr<std::string> ReadAll(const std::string& path, Terminal& terminal);

// The body that the values of -d make.
absl::StatusOr<std::string> JoinData(const std::vector<std::string>& data, Terminal& terminal);

// The requests of a batch file: a URL per line, or a FetchRequest as protobuf JSON for lines that begin with '{'. Blank
// lines and those that begin with '#' are skipped. What a line does not say comes from `common`. INVALID_ARGUMENT names
// the line.
absl::StatusOr<std::vector<v1::FetchRequest>> ParseBatch(const std::string& text, const v1::FetchRequest& common);

}  // namespace fetchd::fetchctl
