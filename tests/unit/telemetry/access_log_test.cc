#include "telemetry/access_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"

namespace fetchd::server {
namespace {

// Lets the writer thread sleep: only Flush and the end write.
constexpr Duration kNeverByItself = std::chrono::hours(1);

FetchRecord SomeFetch() {
  FetchRecord record;
  record.id = "f-1";
  record.caller = "shop";
  record.rpc = "Fetch";
  record.method = "GET";
  record.url = "https://api.example.com/v1?token=*";
  record.status = 200;
  record.attempts = 2;
  record.request_bytes = 3;
  record.response_bytes = 4096;
  record.duration = std::chrono::microseconds(12345);
  return record;
}

struct Written {
  std::string text;
  LineSink Sink() {
    return [this](std::string_view lines) { text += lines; };
  }
  bool Has(std::string_view part) const { return text.find(part) != std::string::npos; }
  long Lines() const { return std::count(text.begin(), text.end(), '\n'); }
};

TEST(AccessLog, OneLineForEachFetch) {
  Written written;
  AccessLog log({.interval = kNeverByItself}, SystemClock(), written.Sink());
  log.OnFetch(SomeFetch());
  EXPECT_EQ(written.text, "") << "the sink must not be used on the thread of the fetch";
  log.Flush();
  EXPECT_TRUE(
      written.Has(" level=info msg=fetch id=f-1 caller=shop rpc=Fetch method=GET "
                  "url=\"https://api.example.com/v1?token=*\" status=200 attempts=2 request_bytes=3 "
                  "response_bytes=4096 ms=12.345\n"))
      << written.text;
  EXPECT_EQ(written.Lines(), 1);
}

TEST(AccessLog, FailureNamesCodePhaseAndDetail) {
  Written written;
  AccessLog log({.interval = kNeverByItself}, SystemClock(), written.Sink());
  FetchRecord record = SomeFetch();
  record.status = 0;
  record.failure = FailureCode::kDnsError;
  record.failure_phase = Phase::kDns;
  record.detail = "no such name";
  log.OnFetch(record);
  log.Flush();
  EXPECT_TRUE(written.Has("level=warning")) << written.text;
  EXPECT_TRUE(written.Has("status=0 failure=dns_error phase=dns detail=\"no such name\"")) << written.text;
}

TEST(AccessLog, PrintsOnlyTheHeadersAskedForAndHidesSecrets) {
  Written written;
  AccessLog log({.request_headers = {"authorization", "x-trace", "x-marked", "absent"}, .interval = kNeverByItself},
                SystemClock(), written.Sink());
  Headers headers;
  headers.Add("Authorization", "Bearer hunter2");
  headers.Add("x-trace", "abc");
  headers.Add("x-marked", "hunter3", /*sensitive=*/true);
  headers.Add("x-other", "not asked for");
  FetchRecord record = SomeFetch();
  record.request_headers = &headers;
  log.OnFetch(record);
  log.Flush();
  EXPECT_TRUE(written.Has(" header.authorization=<redacted> header.x-trace=abc header.x-marked=<redacted>\n"))
      << written.text;
  EXPECT_FALSE(written.Has("hunter"));
  EXPECT_FALSE(written.Has("asked"));
}

TEST(AccessLog, CutsLongValues) {
  Written written;
  AccessLog log({.max_value_bytes = 8, .interval = kNeverByItself}, SystemClock(), written.Sink());
  FetchRecord record = SomeFetch();
  const std::string url = "https://h/" + std::string(1000, 'a');
  record.url = url;
  log.OnFetch(record);
  log.Flush();
  EXPECT_TRUE(written.Has("url=https://... ")) << written.text;
}

TEST(AccessLog, CanKeepToFailuresOrToNothing) {
  FetchRecord failed = SomeFetch();
  failed.failure = FailureCode::kTotalTimeout;
  const struct {
    AccessLogOptions::Which which;
    long lines;
  } kRows[] = {
      {AccessLogOptions::Which::kAll, 2}, {AccessLogOptions::Which::kFailures, 1}, {AccessLogOptions::Which::kNone, 0}};
  for (const auto& row : kRows) {
    Written written;
    AccessLog log({.which = row.which, .interval = kNeverByItself}, SystemClock(), written.Sink());
    log.OnFetch(SomeFetch());
    log.OnFetch(failed);
    log.Flush();
    EXPECT_EQ(written.Lines(), row.lines);
  }
}

TEST(AccessLog, ASlowSinkCostsLinesNotTime) {
  Written written;
  AccessLog log({.max_waiting_bytes = 1000, .interval = kNeverByItself}, SystemClock(), written.Sink());
  for (int i = 0; i < 100; ++i) log.OnFetch(SomeFetch());
  EXPECT_GT(log.dropped(), 90);
  log.Flush();
  EXPECT_EQ(written.Lines() + log.dropped(), 100);
  EXPECT_LE(written.text.size(), 1000u);
}

TEST(AccessLog, TheEndWritesWhatIsLeftOfAllThreads) {
  Written written;
  {
    AccessLog log({.interval = kNeverByItself}, SystemClock(), written.Sink());
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) log.OnFetch(SomeFetch());
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(written.Lines(), 400);
}

TEST(AccessLog, TheWriterComesByItself) {
  absl::Notification came;
  AccessLog log({.interval = std::chrono::milliseconds(1)}, SystemClock(), [&](std::string_view) { came.Notify(); });
  log.OnFetch(SomeFetch());
  came.WaitForNotification();
}

}  // namespace
}  // namespace fetchd::server
