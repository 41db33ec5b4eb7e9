#include "policy/rate_limit_headers.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "absl/strings/ascii.h"
#include "policy/origin_hold.h"
#include "policy/retry_after.h"

namespace fetchd::server {
namespace {

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Takes "12" or "12.5" off the front of `text`; up to 15 digits before the point, which a double holds exactly.
std::optional<double> TakeNumber(std::string_view& text) {
  size_t digits = 0;
  double value = 0;
  while (digits < text.size() && IsDigit(text[digits])) value = value * 10 + (text[digits++] - '0');
  if (digits == 0 || digits > 15) return std::nullopt;
  text.remove_prefix(digits);
  if (text.size() < 2 || text[0] != '.' || !IsDigit(text[1])) return value;
  text.remove_prefix(1);
  for (double unit = 0.1; !text.empty() && IsDigit(text[0]); unit /= 10, text.remove_prefix(1))
    value += unit * (text[0] - '0');
  return value;
}

// The value of a whole field.
std::optional<double> ParseNumber(std::string_view text) {
  text = Trim(text);
  std::optional<double> value = TakeNumber(text);
  return text.empty() ? value : std::nullopt;
}

// `seconds` from now, at most the longest hold. nullopt for none.
std::optional<Duration> HoldOf(double wait) {
  if (!(wait > 0)) return std::nullopt;
  double longest = ToSeconds(OriginHold::kLongestHold);
  // Rounded up: who comes a nanosecond early comes too early.
  return Duration(static_cast<int64_t>(std::ceil(std::min(wait, longest) * 1e9)));
}

// Structured fields (RFC 9651), as much as these two fields need: a list of items with parameters, or a dictionary.
// Values of members and parameters that are not numbers are checked and skipped.
class StructuredField {
 public:
  explicit StructuredField(std::string_view text) : text_(Trim(text)) {}

  // All of it was read, and well-formed.
  bool done() const { return text_.empty() && !trailing_comma_; }
  bool Take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Is there another member? Takes the comma before it.
  bool NextMember() {
    SkipBlanks();
    if (!Take(',')) return false;
    SkipBlanks();
    trailing_comma_ = text_.empty();
    return !trailing_comma_;
  }
  bool Key(std::string_view& key) {
    if (text_.empty() || !(absl::ascii_islower(static_cast<unsigned char>(text_[0])) || text_[0] == '*')) return false;
    key = Run([](unsigned char c) {
      return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-' || c == '.' || c == '*';
    });
    return true;
  }
  // A bare item. `name` is set for a string (with its escapes) or a token, `number` for a number.
  bool BareItem(std::string_view* name, std::optional<double>* number) {
    if (text_.empty()) return false;
    unsigned char c = static_cast<unsigned char>(text_[0]);
    if (c == '"') return String(name);
    if (c == '-' || absl::ascii_isdigit(c)) return Number(number);
    if (absl::ascii_isalpha(c) || c == '*') {
      std::string_view token = Run([](unsigned char t) {
        return absl::ascii_isalnum(t) ||
               std::string_view("!#$%&'*+-.^_`|~:/").find(static_cast<char>(t)) != std::string_view::npos;
      });
      if (name != nullptr) *name = token;
      return true;
    }
    if (c == '?') {
      text_.remove_prefix(1);
      return Take('0') || Take('1');
    }
    if (c != ':') return false;
    size_t end = text_.find(':', 1);
    if (end == std::string_view::npos) return false;
    text_.remove_prefix(end + 1);
    return true;
  }
  // Parameters, each told to `visit` with its number if it has one.
  template <typename Visit>
  bool Parameters(Visit visit) {
    while (Take(';')) {
      while (Take(' ')) {
      }
      std::string_view key;
      if (!Key(key)) return false;
      std::optional<double> number;
      if (Take('=') && !BareItem(nullptr, &number)) return false;
      visit(key, number);
    }
    return true;
  }

 private:
  void SkipBlanks() {
    while (Take(' ') || Take('\t')) {
    }
  }
  template <typename Allowed>
  std::string_view Run(Allowed allowed) {
    size_t n = 0;
    while (n < text_.size() && allowed(static_cast<unsigned char>(text_[n]))) ++n;
    std::string_view run = text_.substr(0, n);
    text_.remove_prefix(n);
    return run;
  }
  bool String(std::string_view* name) {
    for (size_t i = 1; i < text_.size(); ++i) {
      char c = text_[i];
      if (c == '"') {
        if (name != nullptr) *name = text_.substr(1, i - 1);
        text_.remove_prefix(i + 1);
        return true;
      }
      if (c == '\\') {
        if (++i == text_.size() || (text_[i] != '"' && text_[i] != '\\')) return false;
      } else if (c < 0x20 || c == 0x7f) {
        return false;
      }
    }
    return false;
  }
  bool Number(std::optional<double>* number) {
    bool negative = Take('-');
    std::optional<double> value = TakeNumber(text_);
    if (!value) return false;
    if (number != nullptr) *number = negative ? -*value : *value;
    return true;
  }

  std::string_view text_;
  bool trailing_comma_ = false;
};

// What one member of RateLimit or RateLimit-Policy says.
struct Quota {
  std::string_view name;
  std::optional<double> remaining, reset, quota, window;
};

// Calls `visit` with each member, after the whole field proved well-formed.
template <typename Visit>
bool ForEachQuota(std::string_view text, Visit visit) {
  for (bool act : {false, true}) {
    StructuredField field(text);
    do {
      Quota quota;
      if (!field.BareItem(&quota.name, nullptr)) return false;
      bool good = field.Parameters([&](std::string_view key, std::optional<double> number) {
        if (key == "r") quota.remaining = number;
        if (key == "t") quota.reset = number;
        if (key == "q") quota.quota = number;
        if (key == "w") quota.window = number;
      });
      if (!good) return false;
      if (act) visit(quota);
    } while (field.NextMember());
    if (!field.done()) return false;
  }
  return true;
}

// The form of drafts 06 and 07.
bool ParseDictionary(std::string_view text, Quota& quota) {
  StructuredField field(text);
  do {
    std::string_view key;
    if (!field.Key(key)) return false;
    std::optional<double> number;
    if (field.Take('=') && !field.BareItem(nullptr, &number)) return false;
    if (!field.Parameters([](std::string_view, std::optional<double>) {})) return false;
    if (key == "remaining") quota.remaining = number;
    if (key == "reset") quota.reset = number;
  } while (field.NextMember());
  return field.done();
}

// Without a reset: the mean time in which the policy of that name lets one more go.
std::optional<double> FromPolicy(const Headers& headers, std::string_view name) {
  std::optional<double> wait;
  for (HeaderView field : headers) {
    if (field.name != "ratelimit-policy") continue;
    ForEachQuota(field.value, [&](const Quota& quota) {
      if (quota.name == name && quota.quota && *quota.quota > 0 && quota.window) wait = *quota.window / *quota.quota;
    });
  }
  return wait;
}

std::optional<Duration> FromRateLimit(const Headers& headers) {
  std::optional<Duration> longest;
  auto learn = [&](const Quota& quota) {
    if (!quota.remaining || *quota.remaining >= 1) return;
    std::optional<double> wait = quota.reset ? quota.reset : FromPolicy(headers, quota.name);
    std::optional<Duration> hold = wait ? HoldOf(*wait) : std::nullopt;
    if (hold && (!longest || *hold > *longest)) longest = hold;
  };
  for (HeaderView field : headers) {
    if (field.name != "ratelimit") continue;
    Quota quota;
    if (!ForEachQuota(field.value, learn) && ParseDictionary(field.value, quota)) learn(quota);
  }
  return longest;
}

// The fields that are a number each. A 429 says by itself that nothing remains.
std::optional<Duration> FromNumbers(int status, std::string_view remaining, std::string_view reset, WallTime now) {
  if (reset.empty()) return std::nullopt;
  if (remaining.empty()) {
    if (status != 429) return std::nullopt;
  } else {
    std::optional<double> left = ParseNumber(remaining);
    if (!left || *left >= 1) return std::nullopt;
  }
  std::optional<double> value = ParseNumber(reset);
  if (!value) return std::nullopt;
  // Nobody waits for 30 years: a larger number is a date.
  if (*value >= 1e12) {
    *value = *value / 1e3 - ToSeconds(now.time_since_epoch());
  } else if (*value >= 1e9) {
    *value -= ToSeconds(now.time_since_epoch());
  }
  return HoldOf(*value);
}

}  // namespace

RateLimitAdvice ReadRateLimit(int status, const Headers& headers, WallTime now) {
  std::string_view retry_after, limit, remaining, reset, x_remaining, x_reset;
  bool any = false;
  // One pass that looks at lengths first: every response comes by here, and few have any of these.
  for (HeaderView field : headers) {
    std::string_view* slot = nullptr;
    switch (field.name.size()) {
      case 9:
        if (field.name == "ratelimit") slot = &limit;
        break;
      case 11:
        if (field.name == "retry-after") slot = &retry_after;
        break;
      case 15:
        if (field.name == "ratelimit-reset") slot = &reset;
        break;
      case 17:
        if (field.name == "x-ratelimit-reset") slot = &x_reset;
        break;
      case 19:
        if (field.name == "ratelimit-remaining") slot = &remaining;
        break;
      case 21:
        if (field.name == "x-ratelimit-remaining") slot = &x_remaining;
        break;
      default:
        break;
    }
    if (slot == nullptr || !slot->empty()) continue;
    *slot = field.value;
    any = true;
  }
  if (!any) return {};
  if ((status == 429 || status == 503) && !retry_after.empty()) {
    // "0" is an answer too: the origin does not want to be left alone.
    if (std::optional<WallTime> at = ParseRetryAfter(retry_after, now)) return {HoldOf(ToSeconds(*at - now))};
  }
  std::optional<Duration> hold;
  if (!limit.empty()) hold = FromRateLimit(headers);
  if (!hold) hold = FromNumbers(status, remaining, reset, now);
  if (!hold) hold = FromNumbers(status, x_remaining, x_reset, now);
  return {hold};
}

}  // namespace fetchd::server
