#include "telemetry/log_line.h"

#include <gtest/gtest.h>

#include "telemetry/log.h"

namespace fetchd::server {
namespace {

constexpr WallTime kNow{std::chrono::seconds(1714566896) + std::chrono::milliseconds(7)};  // 2024-05-01T12:34:56.007Z

TEST(LogLine, LogfmtQuotesOnlyWhatNeedsIt) {
  std::string out;
  LogLine line(out, LogFormat::kLogfmt, kNow, LogLevel::kInfo, "fetch");
  line.Add("plain", "https://h/p");
  line.Add("blank", "a b");
  line.Add("equals", "a=b");
  line.Add("empty", "");
  line.Add("number", -12);
  line.AddMillis("ms", std::chrono::microseconds(1234005));
  line.End();
  EXPECT_EQ(out,
            "time=2024-05-01T12:34:56.007Z level=info msg=fetch plain=https://h/p blank=\"a b\" equals=\"a=b\" "
            "empty=\"\" number=-12 ms=1234.005\n");
}

TEST(LogLine, JsonIsOneObject) {
  std::string out;
  LogLine line(out, LogFormat::kJson, kNow, LogLevel::kWarning, "two words");
  line.Add("accept", "text/html", "header.");
  line.Add("number", 3);
  line.End();
  EXPECT_EQ(out,
            "{\"time\":\"2024-05-01T12:34:56.007Z\",\"level\":\"warning\",\"msg\":\"two words\","
            "\"header.accept\":\"text/html\",\"number\":3}\n");
}

TEST(LogLine, NoValueCanBreakTheLine) {
  for (const LogFormat format : {LogFormat::kLogfmt, LogFormat::kJson}) {
    std::string out;
    LogLine line(out, format, kNow, LogLevel::kInfo, "m");
    line.Add("value", std::string_view("a\nb\"c\\d\0e\xff", 10));
    line.End();
    EXPECT_NE(out.find("a\\u000ab\\\"c\\\\d\\u0000e\\u00ff"), std::string::npos) << out;
    EXPECT_EQ(out.find('\n'), out.size() - 1);
  }
}

TEST(LogLine, KeepsWhatStandsBeforeItAndGrowsForLongFields) {
  const std::string plain(5000, 'p'), escaped(3000, '\n'), key(700, 'k');
  std::string escapes;
  for (size_t i = 0; i < escaped.size(); ++i) escapes += "\\u000a";
  const std::string before = "a line of before\n";
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::string out = before;
    LogLine line(out, LogFormat::kJson, kNow, LogLevel::kInfo, "m");
    line.Add("plain", plain);
    line.Add("escaped", escaped);
    line.Add(key, INT64_MIN);
    line.AddMillis(key, Duration::max());
    line.Add("x", "v", key);
    line.End();
    EXPECT_EQ(out, before + "{\"time\":\"2024-05-01T12:34:56.007Z\",\"level\":\"info\",\"msg\":\"m\",\"plain\":\"" +
                       plain + "\",\"escaped\":\"" + escapes + "\",\"" + key + "\":-9223372036854775808,\"" + key +
                       "\":9223372036854.775,\"" + key + "x\":\"v\"}\n");
  }
}

TEST(LogLine, EachByteIsQuotedAndEscapedAsItNeeds) {
  for (int c = 0; c < 256; ++c) {
    const std::string value(1, static_cast<char>(c));
    std::string out;
    LogLine line(out, LogFormat::kLogfmt, kNow, LogLevel::kInfo, "m");
    line.Add("v", value);
    line.End();
    char escape[8];
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
    std::string expected = value;
    if (c < ' ' || c > '~') expected = "\"" + std::string(escape) + "\"";
    if (c == ' ' || c == '=') expected = "\"" + value + "\"";
    if (c == '"' || c == '\\') expected = "\"\\" + value + "\"";
    EXPECT_EQ(out, "time=2024-05-01T12:34:56.007Z level=info msg=m v=" + expected + "\n");
  }
}

TEST(Log, WritesFieldsAndLeavesOutLowerLevels) {
  std::string written;
  Log log({.level = LogLevel::kWarning, .format = LogFormat::kLogfmt}, SystemClock(),
          [&](std::string_view lines) { written += lines; });
  log.Write(LogLevel::kInfo, "not seen");
  log.Write(LogLevel::kError, "cannot listen", {{"address", "127.0.0.1:1"}});
  EXPECT_EQ(written.find("not seen"), std::string::npos);
  EXPECT_NE(written.find(" level=error msg=\"cannot listen\" address=127.0.0.1:1\n"), std::string::npos) << written;
}

}  // namespace
}  // namespace fetchd::server
