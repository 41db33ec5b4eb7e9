#include "policy/retry_after.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <system_error>

#include "absl/strings/ascii.h"

namespace fetchd::server {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kFarthest = days(3650);

// Takes text off the front of a date, piece by piece.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool Literal(std::string_view expected) {
    if (!text_.starts_with(expected)) return false;
    text_.remove_prefix(expected.size());
    return true;
  }
  // Exactly `width` digits; a leading blank stands for 0 if `blank_padded`.
  bool Number(size_t width, int& value, bool blank_padded = false) {
    if (text_.size() < width) return false;
    value = 0;
    for (size_t i = 0; i < width; ++i) {
      char c = text_[i];
      if (blank_padded && i == 0 && c == ' ') continue;
      if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
      value = value * 10 + (c - '0');
    }
    text_.remove_prefix(width);
    return true;
  }
  template <size_t N>
  bool OneOf(const std::array<std::string_view, N>& names, int& index) {
    for (size_t i = 0; i < N; ++i) {
      if (Literal(names[i])) {
        index = static_cast<int>(i);
        return true;
      }
    }
    return false;
  }
  bool Time(int& h, int& m, int& s) {
    return Number(2, h) && Literal(":") && Number(2, m) && Literal(":") && Number(2, s) && h < 24 && m < 60 && s <= 60;
  }
  bool done() const { return text_.empty(); }

 private:
  std::string_view text_;
};

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kLongDays = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                       "Friday", "Saturday", "Sunday"};
constexpr std::array<std::string_view, 7> kShortDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

std::optional<WallTime> Civil(int year, int month, int day, int h, int m, int s) {
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month + 1)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  // Years outside of this do not fit the clock's nanoseconds.
  if (!date.ok() || year < 1970 || year > 2200) return std::nullopt;
  return WallTime(std::chrono::sys_days(date).time_since_epoch() + hours(h) + minutes(m) + seconds(s));
}

int YearOf(WallTime t) { return static_cast<int>(std::chrono::year_month_day(std::chrono::floor<days>(t)).year()); }

}  // namespace

std::optional<WallTime> ParseHttpDate(std::string_view value, WallTime now) {
  int weekday, day, month, year, h, m, s;
  // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
  Scanner imf(value);
  if (imf.OneOf(kShortDays, weekday) && imf.Literal(", ") && imf.Number(2, day) && imf.Literal(" ") &&
      imf.OneOf(kMonths, month) && imf.Literal(" ") && imf.Number(4, year) && imf.Literal(" ") && imf.Time(h, m, s) &&
      imf.Literal(" GMT") && imf.done())
    return Civil(year, month, day, h, m, s);
  // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
  Scanner rfc850(value);
  if (rfc850.OneOf(kLongDays, weekday) && rfc850.Literal(", ") && rfc850.Number(2, day) && rfc850.Literal("-") &&
      rfc850.OneOf(kMonths, month) && rfc850.Literal("-") && rfc850.Number(2, year) && rfc850.Literal(" ") &&
      rfc850.Time(h, m, s) && rfc850.Literal(" GMT") && rfc850.done()) {
    int this_year = YearOf(now);
    year += this_year - this_year % 100;
    if (year > this_year + 50) year -= 100;
    return Civil(year, month, day, h, m, s);
  }
  // asctime: Sun Nov  6 08:49:37 1994
  Scanner asctime(value);
  if (asctime.OneOf(kShortDays, weekday) && asctime.Literal(" ") && asctime.OneOf(kMonths, month) &&
      asctime.Literal(" ") && asctime.Number(2, day, true) && asctime.Literal(" ") && asctime.Time(h, m, s) &&
      asctime.Literal(" ") && asctime.Number(4, year) && asctime.done())
    return Civil(year, month, day, h, m, s);
  return std::nullopt;
}

std::optional<WallTime> ParseRetryAfter(std::string_view value, WallTime now) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  if (value.empty()) return std::nullopt;
  WallTime farthest = now + kFarthest;
  if (std::all_of(value.begin(), value.end(), [](unsigned char c) { return absl::ascii_isdigit(c); })) {
    uint64_t delta = 0;
    // All digits, so that failing means too large.
    std::errc error = std::from_chars(value.data(), value.data() + value.size(), delta).ec;
    if (error != std::errc() || delta > static_cast<uint64_t>(kFarthest.count())) return farthest;
    return now + seconds(delta);
  }
  std::optional<WallTime> date = ParseHttpDate(value, now);
  if (!date) return std::nullopt;
  return std::clamp(*date, now, farthest);
}

}  // namespace fetchd::server
