// application/x-www-form-urlencoded bodies.
#pragma once

#include <string>
#include <string_view>

namespace fetchd::server {

inline constexpr std::string_view kFormContentType = "application/x-www-form-urlencoded";

// Appends a field to a form by the serializer of the WHATWG URL standard (section 5.2): letters, digits and "*-._"
// stay, a space becomes "+", every other byte "%XX". Fields after the first are set off by "&"; `out` is empty before
// the first.
void AppendFormField(std::string_view name, std::string_view value, std::string& out);

}  // namespace fetchd::server
