// The counters of all rooms as Prometheus text. docs/metrics.md lists the names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "telemetry/process_stats.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// This build, as "0.1.0".
std::string_view Version();

// What a page is made of.
struct MetricsSnapshot {
  // Of every engine thread; read while they run, so a page may show a fetch whose attempt it does not show yet.
  std::vector<const ThreadMetrics*> threads;
  ProcessStats process;
  WallTime started_at{};
  WallTime now{};
  int64_t access_log_dropped = 0;
  // Reloads of the configuration: taken, and refused because something in it is wrong.
  int64_t config_reloads_ok = 0;
  int64_t config_reloads_refused = 0;
  bool ready = false;
};

// Prometheus text format 0.0.4.
inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";
std::string RenderMetrics(const MetricsSnapshot& snapshot);

}  // namespace fetchd::server
