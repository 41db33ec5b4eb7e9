#include "http/field_line.h"

#include <algorithm>

namespace fetchd::server {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<Offence> FindControl(std::string_view text, FailureCode otherwise, std::string_view where) {
  const auto bad = std::find_if(text.begin(), text.end(), [](char c) { return !Is(kText, c); });
  if (bad == text.end()) return std::nullopt;
  if (*bad == '\0') return Offence{FailureCode::kHttpNul, Concat("a NUL in ", where)};
  if (*bad == '\r') return Offence{FailureCode::kHttpBareCr, Concat("a CR without LF in ", where)};
  return Offence{otherwise,
                 Concat("the control character ", static_cast<int>(static_cast<unsigned char>(*bad)), " in ", where)};
}

std::optional<Offence> ParseFieldLine(std::string_view line, FieldLine& field) {
  if (IsBlank(line.front())) return Offence{FailureCode::kHttpHeaderFolded, "a header line begins with a blank"};
  const auto end = std::find_if(line.begin(), line.end(), [](char c) { return !Is(kToken, c); });
  const auto name_size = static_cast<size_t>(end - line.begin());
  const std::string_view rest = line.substr(name_size);
  if (rest.empty()) return Offence{FailureCode::kHttpHeaderInvalid, "a header line has no colon"};
  if (rest.front() != ':') {
    if (name_size > 0 && Trim(rest).starts_with(':'))
      return Offence{FailureCode::kHttpSpaceBeforeColon, "a blank before the colon of a header"};
    if (auto control = FindControl(rest.substr(0, rest.find(':')), FailureCode::kHttpHeaderInvalid, "a header name"))
      return control;
    return Offence{FailureCode::kHttpHeaderInvalid,
                   rest.find(':') == rest.npos ? "a header line has no colon" : "a header name is no token"};
  }
  if (name_size == 0) return Offence{FailureCode::kHttpHeaderInvalid, "a header has no name"};
  field = {line.substr(0, name_size), Trim(rest.substr(1))};
  return FindControl(field.value, FailureCode::kHttpHeaderInvalid, "a header value");
}

}  // namespace fetchd::server
