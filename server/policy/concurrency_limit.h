// How many attempts an origin has at once.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace fetchd::server {

struct ConcurrencyOptions {
  // The most attempts at once; 0: as many as the pool has connections for the origin.
  int max = 0;
  // Whether the limit follows the origin's latency, between `min` and the most.
  bool adaptive = false;
  // The least an adaptive limit sinks to, also while it probes. 1 or more.
  int min = 1;
  // The most of one caller; 0: no limit of its own. Kept by whoever knows the callers.
  int per_caller = 0;
};

// The limit on attempts at once, of one origin. State of its owner's thread.
//
// Fixed, it is a counter. Adaptive, it looks for the origin's knee: the number of attempts from which on more of them
// only wait for each other. Attempts are watched in windows: those of an older limit are let end first; then come as
// many answers as attempts run at once, or ten times as many up to 200, 50 at least, in 50 ms at least.
//   - `base` is the latency without waiting. It is measured by probing: for a window the limit is halved, and again as
//     long as that makes the origin faster. Probes come at the start, every 30 s, and when the limit has sunk by a
//     third since the last one, as then the origin itself may have become slower.
//   - Little's law: if `n` attempts at once take `latency` each, the knee is at n * base / latency. If they take longer
//     than base, the limit becomes that and 8 % of headroom; without the headroom a knee that moves up would not show.
//   - If they take no longer although the limit was reached, the limit grows: by 8 % first, then in larger steps.
//   - If a tenth of the attempts is dropped, the limit sinks by a fifth.
// Latencies are medians: neither a few slow answers nor a few fast ones move the limit. No chance is involved.
class ConcurrencyLimit {
 public:
  // What an attempt tells about the origin.
  enum class Result : uint8_t {
    kAnswered,
    kDropped,  // the origin had too much to do, or did not answer in its time
    kIgnored   // nothing
  };
  struct Sample {
    Result result = Result::kIgnored;
    // From its start to its answer. Read with kAnswered only.
    Duration latency{};
  };

  // `connections` is the most if the options set none. 1 or more.
  ConcurrencyLimit(const ConcurrencyOptions& options, int connections);

  bool HasRoom() const { return in_flight_ < limit_; }
  // Begins an attempt if there is room. Each one must be released.
  bool TryAcquire() {
    if (in_flight_ >= limit_) return false;
    ++in_flight_;
    return true;
  }
  // An attempt has ended at `now`.
  void Release(Sample sample, Instant now) {
    if (options_.adaptive) Learn(sample, now);
    --in_flight_;
  }

  // Takes effect at once; attempts that run are not ended. What was learnt stays.
  void SetOptions(const ConcurrencyOptions& options, int connections);
  // Forgets what was learnt. Attempts in flight stay.
  void Reset();

  bool adaptive() const { return options_.adaptive; }
  int limit() const { return limit_; }
  int in_flight() const { return in_flight_; }
  // The latency without waiting, where that is known; else 0.
  Duration base() const { return base_; }
  bool probing() const { return probe_limit_ > 0; }

 private:
  void Learn(const Sample& sample, Instant now);
  void EndWindow(Instant now);
  void BeginWindow(Instant now);
  void StartCounting(Instant now);
  void EndProbeStep(Duration latency, Instant now);
  void Follow(Duration latency, double at_once, Instant now);
  double Clamp(double limit) const;

  ConcurrencyOptions options_;
  int most_;
  int in_flight_ = 0;
  // What TryAcquire goes by: of the learnt limit and the probe's.
  int limit_;
  double learnt_;
  // While probing: the limit, and the latency at twice that; else 0.
  double probe_limit_ = 0;
  Duration probe_latency_{};
  Duration base_{};
  Instant next_probe_{};
  // Windows in a row in which the limit grew.
  int grown_ = 0;
  // The highest limit since the last probe.
  double highest_ = 0;

  // The window.
  bool begun_ = false;
  Instant began_{};
  // Attempts of an older limit that are in flight.
  int older_ = 0;
  std::vector<Duration> latencies_;
  size_t answered_ = 0;
  size_t dropped_ = 0;
  uint64_t at_once_ = 0;
  bool reached_ = false;
};

}  // namespace fetchd::server
