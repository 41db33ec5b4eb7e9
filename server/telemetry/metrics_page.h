// The counters of all rooms as Prometheus text. docs/metrics.md lists the names.
#pragma once

#include <array>
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
  // Calls refused at the door, by the budget that was used up and by priority: interactive, normal, bulk; and bytes of
  // bodies that calls hold.
  std::array<int64_t, 3> shed_in_flight{};
  std::array<int64_t, 3> shed_body_bytes{};
  std::array<int64_t, 3> shed_caller{};
  int64_t held_body_bytes = 0;
  bool ready = false;
};

// Prometheus text format 0.0.4.
inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";
std::string RenderMetrics(const MetricsSnapshot& snapshot);

}  // namespace fetchd::server
