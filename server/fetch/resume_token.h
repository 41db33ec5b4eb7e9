// Resume tokens of FetchPaged: a place in a list, sealed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "policy/pagination.h"

namespace fetchd::server {

struct ResumeTokenOptions {
  // Key of the MAC, at least 32 bytes. Replicas that share it take each other's tokens. Empty: random at start.
  std::string key;
  // How long a token is valid.
  Duration ttl = std::chrono::hours(24);
};

// Reads a key shared by replicas: the file's bytes without trailing line ends, 32 to 4096 of them. InvalidArgument or
// NotFound with a message that names the file.
absl::StatusOr<std::string> LoadResumeTokenKey(const std::string& path);

// Seals and opens tokens. A token is readable by whoever has it but cannot be altered (HMAC-SHA256), is bound to a
// caller and a request, and expires. Immutable; thread-safe.
class ResumeTokens {
 public:
  // Longest token accepted, in bytes; a place needs at most Url::kMaxSize and some more.
  static constexpr size_t kMaxSize = 12 * 1024;

  explicit ResumeTokens(ResumeTokenOptions options);

  // `request_hash` is PagedRequestHash.
  std::string Seal(const PagingState& state, std::string_view caller, std::string_view request_hash,
                   WallTime now) const;
  // InvalidArgument, with a message for the caller, for a token that is malformed, altered, of another key, expired, or
  // of another caller or request.
  absl::StatusOr<PagingState> Open(std::string_view token, std::string_view caller, std::string_view request_hash,
                                   WallTime now) const;

 private:
  std::string Mac(std::string_view text) const;

  ResumeTokenOptions options_;
};

}  // namespace fetchd::server
