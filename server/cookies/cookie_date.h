// The dates of the Expires attribute.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

// By the algorithm of RFC 6265bis section 5.1.1, which takes much and in any order; nullopt if it finds no date. Dates
// that the clock cannot hold become the last or first that it can.
std::optional<WallTime> ParseCookieDate(std::string_view text);

}  // namespace fetchd::server
