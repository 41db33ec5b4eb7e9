#include "http/form_body.h"

#include <array>
#include <cstddef>

namespace fetchd::server {
namespace {

constexpr std::array<bool, 256> kStays = [] {
  std::array<bool, 256> table{};
  for (unsigned char c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : std::string_view("*-._")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

void AppendEncoded(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (kStays[byte]) {
      out.push_back(c);
    } else if (c == ' ') {
      out.push_back('+');
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 0xf]);
    }
  }
}

}  // namespace

void AppendFormField(std::string_view name, std::string_view value, std::string& out) {
  if (!out.empty()) out.push_back('&');
  AppendEncoded(name, out);
  out.push_back('=');
  AppendEncoded(value, out);
}

}  // namespace fetchd::server
