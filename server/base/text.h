// Text in std::string_view, which Debian's Abseil (built for C++14) does not take.
#pragma once

#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace fetchd::server {

// Strings and integers in one string: Concat("port ", 80).
template <typename... Pieces>
std::string Concat(const Pieces&... pieces) {
  std::string out;
  [[maybe_unused]] auto append = [&out](const auto& piece) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(piece)>>) {
      out += std::to_string(piece);
    } else {
      out += std::string_view(piece);
    }
  };
  (append(pieces), ...);
  return out;
}

// The pieces between separators: "a,,b" has three, "" has one.
inline std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  for (;;) {
    size_t end = text.find(separator);
    pieces.push_back(text.substr(0, end));
    if (end == text.npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

// The whole text as a decimal number without sign or blanks; nullopt if it is anything else or does not fit.
template <typename Unsigned>
std::optional<Unsigned> ParseDecimal(std::string_view text) {
  static_assert(std::is_unsigned_v<Unsigned>);
  Unsigned value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Holds CR, LF or NUL, with which a part of an HTTP head would end before its end. memchr, unlike find_first_of, looks
// at many bytes at a time.
inline bool HasLineEndOrNul(std::string_view text) {
  const auto has = [text](char c) { return std::memchr(text.data(), c, text.size()) != nullptr; };
  return !text.empty() && (has('\r') || has('\n') || has('\0'));
}

// ASCII only, whatever the locale.
constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool IsAlnum(char c) { return IsAlpha(c) || IsDigit(c); }
constexpr bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
constexpr char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
inline std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = Lower(c);
  return out;
}

}  // namespace fetchd::server
