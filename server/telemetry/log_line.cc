#include "telemetry/log_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>

namespace fetchd::server {
namespace {

// Taken at the start of a line; most lines of the access log fit.
constexpr size_t kFirstRoom = 384;
// \u00XX
constexpr size_t kMaxEscapeSize = 6;

// What a character asks of the value it is in.
enum : uint8_t { kQuotes = 1, kEscape = 2 };
constexpr std::array<uint8_t, 256> kAsks = [] {
  std::array<uint8_t, 256> table{};
  for (size_t c = 0; c < table.size(); ++c) table[c] = c < ' ' || c >= 0x7f || c == '"' || c == '\\' ? kEscape : 0;
  table[' '] = kQuotes;
  table['='] = kQuotes;
  return table;
}();

unsigned AskedBy(std::string_view value) {
  const auto ask = [&value](size_t i) { return kAsks[static_cast<unsigned char>(value[i])]; };
  unsigned asked = 0;
  // Every byte of every line comes by here: four at a time take two thirds of the instructions of one at a time.
  for (; value.size() >= 4; value.remove_prefix(4)) asked |= ask(0) | ask(1) | ask(2) | ask(3);
  for (size_t i = 0; i < value.size(); ++i) asked |= ask(i);
  return asked;
}

}  // namespace

std::string_view ToString(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

LogLine::LogLine(std::string& out, LogFormat format, WallTime now, LogLevel level, std::string_view message)
    : out_(out), format_(format) {
  const size_t start = out_.size();
  out_.resize(start + kFirstRoom);
  at_ = out_.data() + start;
  end_ = out_.data() + out_.size();
  const bool json = format_ == LogFormat::kJson;
  Put(json ? "{\"time\":\"" : "time=");
  PutTime(now);
  if (json) Put('"');
  Add("level", ToString(level));
  Add("msg", message);
}

void LogLine::Grow(size_t bytes) {
  const auto used = static_cast<size_t>(at_ - out_.data());
  out_.resize(used + bytes + kFirstRoom);
  at_ = out_.data() + used;
  end_ = out_.data() + out_.size();
}

void LogLine::PutNumber(int64_t n) { at_ = std::to_chars(at_, at_ + kMaxNumberSize, n).ptr; }

void LogLine::PutEscaped(std::string_view value) {
  constexpr char kHex[] = "0123456789abcdef";
  MakeRoom(value.size() * kMaxEscapeSize + 2);
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      Put('\\');
      Put(c);
    } else if ((kAsks[static_cast<unsigned char>(c)] & kEscape) == 0) {
      Put(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      Put("\\u00");
      Put(kHex[byte >> 4]);
      Put(kHex[byte & 15]);
    }
  }
}

void LogLine::PutMillis(Duration value) {
  const int64_t micros = std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(value).count());
  PutNumber(micros / 1000);
  PutFraction(micros % 1000);
}

void LogLine::PutFraction(int64_t thousandths) {
  const char fraction[] = {'.', static_cast<char>('0' + thousandths / 100),
                           static_cast<char>('0' + thousandths / 10 % 10), static_cast<char>('0' + thousandths % 10)};
  Put({fraction, sizeof fraction});
}

// "2024-05-01T12:34:56.789Z". The part up to the second is kept per thread: it changes seldom.
void LogLine::PutTime(WallTime now) {
  constexpr size_t kSecondsSize = std::string_view("2024-05-01T12:34:56").size();
  const auto since_epoch = now.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  thread_local std::time_t known_second = -1;
  thread_local char text[40];
  const std::time_t second = seconds.count();
  if (second != known_second) {
    std::tm utc{};
    gmtime_r(&second, &utc);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    known_second = second;
  }
  Put({text, kSecondsSize});
  PutFraction(std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch - seconds).count());
  Put('Z');
}

void LogLine::PutValue(std::string_view value) {
  const unsigned asked = AskedBy(value);
  // logfmt needs no quotes around a value that has neither blanks nor "=" and is not empty.
  const bool quotes = asked != 0 || value.empty() || format_ == LogFormat::kJson;
  if (quotes) Put('"');
  if ((asked & kEscape) != 0) {
    PutEscaped(value);
  } else if (!value.empty()) {
    Put(value);
  }
  if (quotes) Put('"');
}

void LogLine::End() {
  MakeRoom(2);
  if (format_ == LogFormat::kJson) Put('}');
  Put('\n');
  out_.resize(static_cast<size_t>(at_ - out_.data()));
}

}  // namespace fetchd::server
