// How a line of log looks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning" or "error".
std::string_view ToString(LogLevel level);

// kLogfmt: key=value pairs, values quoted where needed. kJson: one object.
enum class LogFormat { kLogfmt, kJson };

// Writes one line, field by field, to the end of a string that it does not own. The line cannot be broken by what is in
// it: quotes, backslashes and control characters are escaped as in JSON (RFC 8259), and bytes that are not ASCII as
// \u00XX, so that any bytes make valid JSON.
class LogLine {
 public:
  // Begins with the fields `time` (UTC, RFC 3339, milliseconds), `level` and `msg`.
  LogLine(std::string& out, LogFormat format, WallTime now, LogLevel level, std::string_view message);

  // `key` is written as it is, after `prefix`.
  void Add(std::string_view key, std::string_view value, std::string_view prefix = {});
  void Add(std::string_view key, int64_t value);
  // Milliseconds with three decimals.
  void AddMillis(std::string_view key, Duration value);
  // Ends the line with a line feed.
  void End();

 private:
  void Key(std::string_view prefix, std::string_view key);

  std::string& out_;
  const LogFormat format_;
  bool first_ = true;
};

}  // namespace fetchd::server
