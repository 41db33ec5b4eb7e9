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
