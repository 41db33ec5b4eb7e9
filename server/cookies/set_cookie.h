// What a Set-Cookie field says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

// RFC 6265bis section 5.6, without what depends on the request it answers.
struct SetCookie {
  // Name and value together.
  static constexpr size_t kMaxPair = 4096;
  static constexpr size_t kMaxAttribute = 1024;
  // The longest a cookie may live, whatever it says.
  static constexpr Duration kMaxAge = std::chrono::hours(24 * 400);

  enum class SameSite : uint8_t { kUnset, kNone, kLax, kStrict };

  // May be empty; then the value is not.
  std::string name;
  std::string value;
  // In lower case, without a leading dot; empty: the host alone.
  std::string domain;
  // Empty, or begins with a slash; empty: that of the request.
  std::string path;
  // By Max-Age, else by Expires; unset: as long as the session lasts.
  std::optional<WallTime> expires;
  bool secure = false;
  bool http_only = false;
  // Noted, and without effect: no page embeds what a fetch asks for.
  SameSite same_site = SameSite::kUnset;
};

// nullopt: the field is to be ignored.
std::optional<SetCookie> ParseSetCookie(std::string_view field, WallTime now);

}  // namespace fetchd::server
