// How a line of log looks.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning" or "error".
std::string_view ToString(LogLevel level);

// kLogfmt: key=value pairs, values quoted where needed. kJson: one object.
enum class LogFormat { kLogfmt, kJson };

// Writes one line, field by field, to the end of a string that it does not own. The string holds room after the line
// until End(), and nothing else may touch it in between. The line cannot be broken by what is in
// it: quotes, backslashes and control characters are escaped as in JSON (RFC 8259), and bytes that are not ASCII as
// \u00XX, so that any bytes make valid JSON.
class LogLine {
 public:
  // Begins with the fields `time` (UTC, RFC 3339, milliseconds), `level` and `msg`.
  LogLine(std::string& out, LogFormat format, WallTime now, LogLevel level, std::string_view message);

  // `key` is written as it is, after `prefix`. Inline, for the access log: the size of a literal key is known then.
  void Add(std::string_view key, std::string_view value, std::string_view prefix = {}) {
    Key(prefix, key, value.size());
    PutValue(value);
  }
  void Add(std::string_view key, int64_t value) {
    Key({}, key, kMaxNumberSize);
    PutNumber(value);
  }
  // Milliseconds with three decimals.
  void AddMillis(std::string_view key, Duration value) {
    Key({}, key, kMaxNumberSize);
    PutMillis(value);
  }
  // Ends the line with a line feed.
  void End();

 private:
  static constexpr size_t kMaxNumberSize = 24;

  // Makes room for a field, with a value of at most `value_size` bytes beside its quotes, and writes its key.
  [[gnu::always_inline]] void Key(std::string_view prefix, std::string_view key, size_t value_size) {
    // Beside key and value: a separator, quotes around both, and what is between them.
    MakeRoom(prefix.size() + key.size() + value_size + 8);
    const bool json = format_ == LogFormat::kJson;
    Put(json ? ',' : ' ');
    if (json) Put('"');
    if (!prefix.empty()) Put(prefix);
    Put(key);
    if (json) Put('"');
    Put(json ? ':' : '=');
  }
  void MakeRoom(size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) Grow(bytes);
  }
  void Grow(size_t bytes);
  // These need room made before, and a text that is not null.
  void Put(char c) { *at_++ = c; }
  void Put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void PutNumber(int64_t n);
  void PutMillis(Duration value);
  void PutFraction(int64_t thousandths);
  void PutTime(WallTime now);
  void PutValue(std::string_view value);
  // Makes room itself.
  void PutEscaped(std::string_view value);

  std::string& out_;
  const LogFormat format_;
  // Where to write next, and where the room ends; both in `out_`.
  char* at_;
  char* end_;
};

}  // namespace fetchd::server
