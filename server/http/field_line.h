// One line of a header or trailer section.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"
#include "model/failure.h"

namespace fetchd::server {

// What a byte may be part of: kToken of a field name (RFC 9110 section 5.6.2), kText of a field value or a reason
// phrase (section 5.5; obs-text counts as text).
enum BytePart : uint8_t { kToken = 1, kText = 2 };
inline constexpr std::array<uint8_t, 256> kByteParts = [] {
  std::array<uint8_t, 256> table{};
  for (size_t c = 0; c < table.size(); ++c) {
    if (IsAlnum(static_cast<char>(c))) table[c] |= kToken;
    if ((c >= ' ' && c != 0x7f) || c == '\t') table[c] |= kText;
  }
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] |= kToken;
  return table;
}();

inline bool Is(BytePart part, char c) { return (kByteParts[static_cast<unsigned char>(c)] & part) != 0; }
inline bool IsBlank(char c) { return c == ' ' || c == '\t'; }
// Without the blanks at its ends.
std::string_view Trim(std::string_view text);

// What is wrong with a part of a response: one code for each kind, and words for people.
struct Offence {
  FailureCode code;
  std::string detail;
};

// The first byte of `text` that is no kText; null if all are. NUL and CR have codes of their own, all else is
// `otherwise`. `where` names the part.
std::optional<Offence> FindControl(std::string_view text, FailureCode otherwise, std::string_view where);

// Name as sent, and value without the blanks around it. Views into the line.
struct FieldLine {
  std::string_view name;
  std::string_view value;
};

// Splits a line, without its CRLF and not empty, by the rules of RFC 9112 section 5. Folded lines (obs-fold) are
// refused, as section 5.2 lets a gateway do.
std::optional<Offence> ParseFieldLine(std::string_view line, FieldLine& field);

}  // namespace fetchd::server
