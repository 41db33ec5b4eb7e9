#include "telemetry/metrics_page.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>

namespace fetchd::server {
namespace {

bool HasLine(const std::string& page, const std::string& line) {
  return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

std::string Render(std::vector<const ThreadMetrics*> threads) {
  return RenderMetrics({.threads = std::move(threads),
                        .process = {.resident_bytes = 1024, .open_fds = 7, .max_fds = 100, .cpu_seconds = 1.5},
                        .started_at = WallTime(std::chrono::seconds(1000)),
                        .now = WallTime(std::chrono::seconds(1060)),
                        .access_log_dropped = 2,
                        .config_reloads_ok = 3,
                        .config_reloads_refused = 4,
                        .ready = true});
}

TEST(DurationHistogram, BoundsAreInclusive) {
  DurationHistogram histogram;
  histogram.Observe(std::chrono::microseconds(500));
  histogram.Observe(std::chrono::microseconds(501));
  histogram.Observe(std::chrono::seconds(60));
  histogram.Observe(std::chrono::seconds(61));
  EXPECT_EQ(histogram.bucket(0), 1);
  EXPECT_EQ(histogram.bucket(1), 1);
  EXPECT_EQ(histogram.bucket(DurationHistogram::kBounds.size() - 1), 1);
  EXPECT_EQ(histogram.bucket(DurationHistogram::kBounds.size()), 1);
  EXPECT_NEAR(histogram.sum_seconds(), 121.001001, 1e-9);
}

TEST(ThreadMetrics, CountsFetchesByOutcomeAndFailuresByCodeAndPhase) {
  auto metrics = std::make_unique<ThreadMetrics>();
  FetchRecord fetch;
  fetch.status = 204;
  fetch.response_bytes = 10;
  metrics->OnFetch(fetch);
  fetch.failure = FailureCode::kHttpResponseIncomplete;  // a response began: still a failure
  fetch.failure_phase = Phase::kReceive;
  metrics->OnFetch(fetch);
  EXPECT_EQ(metrics->fetches[2].value(), 1);
  EXPECT_EQ(metrics->fetches[0].value(), 1);
  EXPECT_EQ(
      metrics->failures[static_cast<size_t>(FailureCode::kHttpResponseIncomplete)][static_cast<size_t>(Phase::kReceive)]
          .value(),
      1);
  EXPECT_EQ(metrics->response_bytes.value(), 20);
}

TEST(ThreadMetrics, APhaseThatWasSkippedDoesNotCount) {
  auto metrics = std::make_unique<ThreadMetrics>();
  AttemptRecord attempt;
  attempt.status = 503;
  attempt.phases.wait = std::chrono::milliseconds(3);
  metrics->OnAttempt(attempt);
  EXPECT_EQ(metrics->attempts[5].value(), 1);
  EXPECT_EQ(metrics->phases[6].bucket(3), 1);  // wait, up to 5 ms
  EXPECT_EQ(metrics->phases[1].sum_seconds(), 0);
}

TEST(RenderMetrics, SumsTheThreads) {
  auto one = std::make_unique<ThreadMetrics>();
  auto two = std::make_unique<ThreadMetrics>();
  FetchRecord fetch;
  fetch.status = 200;
  fetch.duration = std::chrono::milliseconds(3);
  one->OnFetch(fetch);
  two->OnFetch(fetch);
  fetch.failure = FailureCode::kDnsError;
  fetch.failure_phase = Phase::kDns;
  two->OnFetch(fetch);
  one->connections_idle.Set(3);
  two->connections_idle.Set(4);
  const std::string page = Render({one.get(), two.get()});
  for (const char* line : {
           "# TYPE fetchd_fetches_total counter",
           "fetchd_fetches_total{outcome=\"2xx\"} 2",
           "fetchd_fetches_total{outcome=\"failure\"} 1",
           "fetchd_fetches_total{outcome=\"5xx\"} 0",
           "fetchd_fetch_failures_total{code=\"dns_error\",phase=\"dns\"} 1",
           "# TYPE fetchd_fetch_duration_seconds histogram",
           "fetchd_fetch_duration_seconds_count 3",
           "fetchd_fetch_duration_seconds_bucket{le=\"0.0025\"} 0",
           "fetchd_fetch_duration_seconds_bucket{le=\"0.005\"} 3",
           "fetchd_fetch_duration_seconds_bucket{le=\"+Inf\"} 3",
           "fetchd_phase_duration_seconds_count{phase=\"connect\"} 0",
           "fetchd_connections{state=\"idle\"} 7",
           "fetchd_engine_threads 2",
           "fetchd_uptime_seconds 60",
           "fetchd_ready 1",
           "fetchd_config_reloads_total{result=\"ok\"} 3",
           "fetchd_config_reloads_total{result=\"refused\"} 4",
           "fetchd_access_log_dropped_lines_total 2",
           "process_resident_memory_bytes 1024",
           "process_open_fds 7",
       }) {
    EXPECT_TRUE(HasLine(page, line)) << line << "\nis not in\n" << page;
  }
  EXPECT_NE(page.find("fetchd_build_info{version=\"" + std::string(Version()) + "\""), std::string::npos);
}

TEST(RenderMetrics, EveryNameIsDocumented) {
  std::ifstream file(FETCHD_SOURCE_DIR "/docs/metrics.md");
  std::stringstream documented;
  documented << file.rdbuf();
  const ThreadMetrics metrics;
  std::istringstream page(Render({&metrics}));
  int names = 0;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("# TYPE ", 0) != 0) continue;
    const std::string name = line.substr(7, line.find(' ', 7) - 7);
    EXPECT_NE(documented.str().find("`" + name + "`"), std::string::npos) << name << " is not in docs/metrics.md";
    ++names;
  }
  EXPECT_GT(names, 25);
}

TEST(ProcessStats, SeesThisProcess) {
  const ProcessStats stats = ProcessStats::Read();
  EXPECT_GT(stats.resident_bytes, 100'000);
  EXPECT_GE(stats.open_fds, 3);
  EXPECT_GT(stats.cpu_seconds, 0);
  EXPECT_NE(stats.max_fds, 0);
}

}  // namespace
}  // namespace fetchd::server
