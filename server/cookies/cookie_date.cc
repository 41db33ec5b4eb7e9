#include "cookies/cookie_date.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "base/text.h"

namespace fetchd::server {
namespace {

bool IsDelimiter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == 0x09 || (byte >= 0x20 && byte <= 0x2f) || (byte >= 0x3b && byte <= 0x40) ||
         (byte >= 0x5b && byte <= 0x60) || (byte >= 0x7b && byte <= 0x7e);
}

// A number of `least` to `most` digits at the begin of `text`, which is taken off.
std::optional<int> TakeNumber(std::string_view& text, size_t least, size_t most) {
  size_t digits = 0;
  int number = 0;
  while (digits < text.size() && IsDigit(text[digits])) {
    if (++digits > most) return std::nullopt;
    number = number * 10 + (text[digits - 1] - '0');
  }
  if (digits < least) return std::nullopt;
  text.remove_prefix(digits);
  return number;
}

struct TimeOfDay {
  int hour = 0;
  int minute = 0;
  int second = 0;
};

std::optional<TimeOfDay> ReadTime(std::string_view token) {
  std::array<int, 3> fields{};
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) {
      if (!token.starts_with(':')) return std::nullopt;
      token.remove_prefix(1);
    }
    const std::optional<int> field = TakeNumber(token, 1, 2);
    if (!field) return std::nullopt;
    fields[i] = *field;
  }
  return TimeOfDay{fields[0], fields[1], fields[2]};
}

std::optional<int> ReadMonth(std::string_view token) {
  constexpr std::string_view kMonths = "janfebmaraprmayjunjulaugsepoctnovdec";
  if (token.size() < 3) return std::nullopt;
  const std::string name = Lower(token.substr(0, 3));
  for (size_t i = 0; i < kMonths.size(); i += 3)
    if (kMonths.substr(i, 3) == name) return static_cast<int>(i / 3 + 1);
  return std::nullopt;
}

// What the clock can hold, in whole seconds and with room for a wait to be added.
constexpr int64_t kLatestSecond = 9'000'000'000;

}  // namespace

std::optional<WallTime> ParseCookieDate(std::string_view text) {
  std::optional<TimeOfDay> time;
  std::optional<int> day, month, year;
  while (!text.empty()) {
    const auto end = std::find_if(text.begin(), text.end(), IsDelimiter);
    std::string_view token = text.substr(0, static_cast<size_t>(end - text.begin()));
    text.remove_prefix(std::min(token.size() + 1, text.size()));
    if (token.empty()) continue;
    if (!time && (time = ReadTime(token))) continue;
    std::string_view rest = token;
    if (!day && (day = TakeNumber(rest, 1, 2))) continue;
    if (!month && (month = ReadMonth(token))) continue;
    rest = token;
    if (!year) year = TakeNumber(rest, 2, 4);
  }
  if (!time || !day || !month || !year) return std::nullopt;
  if (*year >= 70 && *year <= 99) *year += 1900;
  if (*year >= 0 && *year <= 69) *year += 2000;
  if (*year < 1601 || time->hour > 23 || time->minute > 59 || time->second > 59) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t seconds = days * 86400 + time->hour * 3600 + time->minute * 60 + time->second;
  return WallTime(std::chrono::seconds(std::clamp(seconds, -kLatestSecond, kLatestSecond)));
}

}  // namespace fetchd::server
