#include "telemetry/log_line.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>

namespace fetchd::server {
namespace {

// Appends "2024-05-01T12:34:56.789Z". The part up to the second is kept per thread: it changes seldom.
void AppendTime(std::string& out, WallTime now) {
  const auto since_epoch = now.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch - seconds).count();
  thread_local std::time_t known_second = -1;
  thread_local char text[40];
  const std::time_t second = seconds.count();
  if (second != known_second) {
    std::tm utc{};
    gmtime_r(&second, &utc);
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    known_second = second;
  }
  out += text;
  const char fraction[] = {'.', static_cast<char>('0' + millis / 100), static_cast<char>('0' + millis / 10 % 10),
                           static_cast<char>('0' + millis % 10), 'Z'};
  out.append(fraction, sizeof fraction);
}

void AppendNumber(std::string& out, int64_t n) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, n).ptr;
  out.append(digits, end);
}

bool IsPlain(char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; }

void AppendQuoted(std::string& out, std::string_view value) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : value) {
    if (IsPlain(c) || c == ' ') {
      out += c;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  out += '"';
}

// logfmt needs no quotes around a value that has neither blanks nor "=" and is not empty.
bool IsBare(std::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) { return IsPlain(c) && c != '='; });
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
  if (format_ == LogFormat::kJson) out_ += '{';
  Key({}, "time");
  if (format_ == LogFormat::kJson) out_ += '"';
  AppendTime(out_, now);
  if (format_ == LogFormat::kJson) out_ += '"';
  Add("level", ToString(level));
  Add("msg", message);
}

void LogLine::Key(std::string_view prefix, std::string_view key) {
  const bool json = format_ == LogFormat::kJson;
  if (!first_) out_ += json ? ',' : ' ';
  first_ = false;
  if (json) out_ += '"';
  out_ += prefix;
  out_ += key;
  out_ += json ? "\":" : "=";
}

void LogLine::Add(std::string_view key, std::string_view value, std::string_view prefix) {
  Key(prefix, key);
  if (format_ == LogFormat::kLogfmt && IsBare(value)) {
    out_ += value;
  } else {
    AppendQuoted(out_, value);
  }
}

void LogLine::Add(std::string_view key, int64_t value) {
  Key({}, key);
  AppendNumber(out_, value);
}

void LogLine::AddMillis(std::string_view key, Duration value) {
  Key({}, key);
  const int64_t micros = std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(value).count());
  AppendNumber(out_, micros / 1000);
  const int64_t rest = micros % 1000;
  const char fraction[] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                           static_cast<char>('0' + rest % 10)};
  out_.append(fraction, sizeof fraction);
}

void LogLine::End() { out_ += format_ == LogFormat::kJson ? "}\n" : "\n"; }

}  // namespace fetchd::server
