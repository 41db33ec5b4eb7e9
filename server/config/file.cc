#include "config/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

absl::Status Refused(const std::string& path, absl::string_view what, int error) {
  const std::string message = absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case EISDIR:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return Refused(path, "read", errno);
  std::string text;
  char piece[16384];
  int error = 0;
  while (text.size() <= max_bytes) {
    const size_t n = std::fread(piece, 1, sizeof piece, file);
    text.append(piece, n);
    if (n == sizeof piece) continue;
    if (std::ferror(file) != 0) error = errno;
    break;
  }
  std::fclose(file);
  if (error != 0) return Refused(path, "read", error);
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is larger than ", max_bytes, " bytes"));
  }
  return text;
}

absl::Status WriteFileAtomically(const std::string& path, const std::string& text) {
  const std::string part = path + ".part";
  std::FILE* file = std::fopen(part.c_str(), "wbe");
  if (file == nullptr) return Refused(part, "write", errno);
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int error = errno;
  if (std::fclose(file) != 0 || !written) return Refused(part, "write", written ? errno : error);
  if (std::rename(part.c_str(), path.c_str()) != 0) return Refused(path, "write", errno);
  return absl::OkStatus();
}

}  // namespace fetchd::server
