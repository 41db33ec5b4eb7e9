// What one engine thread counts. Written by that thread alone, read by the scrape at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "telemetry/records.h"

namespace fetchd::server {

// A number with one writer and many readers: no locked instruction on the writer's side.
class Cell {
 public:
  void Add(int64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void Set(int64_t n) { value_.store(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// A number with many writers.
class SharedCell {
 public:
  void Add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Durations in fixed buckets, in seconds: 0.5 ms to 60 s.
class DurationHistogram {
 public:
  static constexpr std::array<double, 16> kBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
  void Observe(Duration d);
  // Count of bucket i, not cumulative; the last one is above every bound.
  int64_t bucket(size_t i) const { return buckets_[i].value(); }
  double sum_seconds() const { return static_cast<double>(sum_ns_.value()) * 1e-9; }

 private:
  std::array<Cell, kBounds.size() + 1> buckets_;
  Cell sum_ns_;
};

// Counters and gauges of one engine thread. No label can be blown up by a caller: all are enums. Gauges are kept by the
// rooms that own what they count.
struct ThreadMetrics {
  // Called by engine/ at the end of each attempt and by fetch/ at the end of each fetch.
  void OnAttempt(const AttemptRecord& record);
  void OnFetch(const FetchRecord& record);

  // By outcome class: index 0 is failure, 1..5 is the status class 1xx..5xx (only 2..5 occur).
  std::array<Cell, 6> fetches, attempts;
  // By failure code and phase of fetches.
  std::array<std::array<Cell, kLastPhase + 1>, 256> failures;
  DurationHistogram fetch_duration;
  // In the order of PhaseTimes: queue, dns, connect, proxy, tls, send, wait, receive.
  std::array<DurationHistogram, 8> phases;
  Cell connections_opened, connections_reused;
  Cell tls_handshakes, tls_resumed;
  Cell dns_queries, dns_cache_hits;
  Cell hedges, hedges_won, resumes, resumed, breakers_opened, holds_learnt, outliers_ejected;
  Cell request_bytes, response_bytes;

  // Gauges.
  Cell fetches_in_flight, connections_active, connections_idle, queue_waiting, origins, leases;
  // Bytes of the blocks that hold bodies on the way to callers of FetchStream; gRPC frees them on any thread.
  SharedCell buffered_bytes;
};

}  // namespace fetchd::server
