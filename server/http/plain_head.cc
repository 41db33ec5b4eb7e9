#include "http/plain_head.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/text.h"
#include "http/field_line.h"

namespace fetchd::server {
namespace {

// Far less than 2^64, so that it cannot overflow.
std::optional<uint64_t> PlainLength(std::string_view value) {
  constexpr size_t kMaxDigits = 15;
  if (value.empty() || value.size() > kMaxDigits) return std::nullopt;
  uint64_t length = 0;
  for (const char c : value) {
    if (!IsDigit(c)) return std::nullopt;
    length = length * 10 + static_cast<uint64_t>(c - '0');
  }
  return length;
}

// Whether a field leaves the head plain. Its length matters first: few names have one of these.
bool IsPlain(const HeaderView& field, std::optional<uint64_t>& length) {
  switch (field.name.size()) {
    case std::string_view("upgrade").size():
      return field.name != "upgrade";
    case std::string_view("connection").size():
      return field.name != "connection" || field.value == "keep-alive" || field.value == "Keep-Alive";
    case std::string_view("content-length").size():
      if (field.name != "content-length") return true;
      if (length) return false;
      length = PlainLength(field.value);
      return length.has_value();
    case std::string_view("proxy-connection").size():
      return field.name != "proxy-connection";
    case std::string_view("transfer-encoding").size():
      return field.name != "transfer-encoding";
    default:
      return true;
  }
}

}  // namespace

size_t ParsePlainHead(std::string_view in, const HttpLimits& limits, ResponseHead& head) {
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  constexpr size_t kReason = kVersion.size() + 4;
  // A head within the least of them is within each.
  in = in.substr(0, std::min({limits.max_status_line_bytes, limits.max_head_bytes, limits.max_field_bytes}));
  if (in.size() < kReason || !in.starts_with(kVersion) || in[kReason - 1] != ' ') return 0;
  const std::string_view digits = in.substr(kVersion.size(), 3);
  if (!std::all_of(digits.begin(), digits.end(), IsDigit)) return 0;
  const int status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  if (status < 200 || status > 599 || status == 204 || status == 304) return 0;

  const char* at = in.data() + kReason;
  const char* const end = in.data() + in.size();
  const auto skip = [&at, end](BytePart part) {
    while (at != end && Is(part, *at)) ++at;
  };
  const auto line_ends = [&at, end] { return end - at >= 2 && at[0] == '\r' && at[1] == '\n'; };
  skip(kText);
  if (!line_ends()) return 0;
  std::optional<uint64_t> length;
  for (at += 2; !line_ends(); at += 2) {
    const char* const name = at;
    skip(kToken);
    if (at == name || at == end || *at != ':') return 0;
    const std::string_view name_text(name, static_cast<size_t>(at - name));
    do ++at;
    while (at != end && IsBlank(*at));
    const char* const value = at;
    skip(kText);
    if (!line_ends() || head.headers.size() >= limits.max_header_count) return 0;
    const char* value_end = at;
    while (value_end != value && IsBlank(value_end[-1])) --value_end;
    head.headers.Add(name_text, {value, static_cast<size_t>(value_end - value)});
    if (!IsPlain(head.headers[head.headers.size() - 1], length)) return 0;
  }
  if (!length) return 0;
  head.status = status;
  head.content_length = length;
  return static_cast<size_t>(at + 2 - in.data());
}

}  // namespace fetchd::server
