#include "cookies/set_cookie.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "cookies/cookie_date.h"

namespace fetchd::server {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// Up to the first separator; `text` goes on after it.
std::string_view TakeUntil(std::string_view& text, char separator) {
  const std::string_view piece = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(piece.size() + 1, text.size()));
  return piece;
}

// Section 5.6.2. Seconds from now, at most kMaxAge; 0 or less: at once.
std::optional<Duration> ReadMaxAge(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), [](char c) { return IsDigit(c); }))
    return std::nullopt;
  if (negative) return Duration::zero();
  // What is too large for a number is as large as can be.
  const uint64_t seconds = ParseDecimal<uint64_t>(digits).value_or(UINT64_MAX);
  constexpr auto kMost =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(SetCookie::kMaxAge).count());
  return std::chrono::seconds(std::min(seconds, kMost));
}

SetCookie::SameSite ReadSameSite(std::string_view text) {
  const std::string word = Lower(text);
  if (word == "none") return SetCookie::SameSite::kNone;
  if (word == "lax") return SetCookie::SameSite::kLax;
  return word == "strict" ? SetCookie::SameSite::kStrict : SetCookie::SameSite::kUnset;
}

// The last attribute of a name counts.
struct Attributes {
  std::optional<Duration> max_age;
  std::optional<WallTime> expires;
};

void ReadAttribute(std::string_view name_text, std::string_view value, SetCookie& cookie, Attributes& attributes) {
  const std::string name = Lower(name_text);
  if (name == "expires") {
    if (const auto date = ParseCookieDate(value)) attributes.expires = date;
  } else if (name == "max-age") {
    if (const auto age = ReadMaxAge(value)) attributes.max_age = age;
  } else if (name == "domain") {
    if (value.starts_with('.')) value.remove_prefix(1);
    cookie.domain = Lower(value);
  } else if (name == "path") {
    cookie.path = value.starts_with('/') ? value : std::string_view();
  } else if (name == "secure") {
    cookie.secure = true;
  } else if (name == "httponly") {
    cookie.http_only = true;
  } else if (name == "samesite") {
    cookie.same_site = ReadSameSite(value);
  }
}

}  // namespace

std::optional<SetCookie> ParseSetCookie(std::string_view field, WallTime now) {
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  if (std::any_of(field.begin(), field.end(), is_control)) return std::nullopt;
  std::string_view pair = TakeUntil(field, ';');
  SetCookie cookie;
  if (pair.find('=') != pair.npos) cookie.name = Trim(TakeUntil(pair, '='));
  cookie.value = Trim(pair);
  if (cookie.name.size() + cookie.value.size() > SetCookie::kMaxPair) return std::nullopt;
  if (cookie.name.empty() && cookie.value.empty()) return std::nullopt;

  Attributes attributes;
  while (!field.empty()) {
    std::string_view value = TakeUntil(field, ';');
    const std::string_view name = Trim(TakeUntil(value, '='));
    value = Trim(value);
    if (value.size() <= SetCookie::kMaxAttribute) ReadAttribute(name, value, cookie, attributes);
  }
  if (attributes.max_age) {
    cookie.expires = now + *attributes.max_age;
  } else if (attributes.expires) {
    cookie.expires = std::min<WallTime>(*attributes.expires, now + SetCookie::kMaxAge);
  }
  return cookie;
}

}  // namespace fetchd::server
