// One origin, the fleets that call it, and fetchd's layers between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/random.h"
#include "engine/make_service.h"
#include "policy/origin_policy.h"
#include "simulation/fleet.h"
#include "simulation/measures.h"
#include "simulation/simulated_origin.h"
#include "simulation/virtual_time.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::simulation {

struct SimulationOptions {
  // Everything that is left to chance comes from it.
  uint64_t seed = 1;
  server::OriginPolicy policy = {};
  OriginModel origin = {};
  // The defaults of pool.max_connections_per_origin and pool.max_queue_per_origin.
  int connections = 128;
  size_t max_queue = 1024;
};

// A run. The layers and policies are fetchd's own, put together by its own MakeLayers; only what is outside (callers,
// the network with the origin, time) is a model.
class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  ~Simulation() { Finish(); }
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  // Begins at once.
  Fleet& AddFleet(const FleetModel& model);
  // `what` happens so long after the beginning.
  void At(Duration when, absl::AnyInvocable<void()> what);
  // Goes on until so long after the beginning.
  void RunUntil(Duration when) { time_.RunUntil(begin_ + when); }
  // No more fetches; waits for the end of those that are open.
  void Finish();

  Instant InstantAt(Duration when) const { return begin_ + when; }
  Duration elapsed() const { return time_.Now() - begin_; }
  Instant Now() const { return time_.Now(); }
  SimulatedOrigin& origin() { return origin_; }
  server::OriginBrain& brain() { return state_.brain; }
  const Timeline& timeline() const { return timeline_; }
  const server::ThreadMetrics& metrics() const { return metrics_; }
  // Of everything that was counted.
  uint64_t Digest() const;

 private:
  VirtualTime time_;
  const Instant begin_;
  server::Random random_;
  // Of the layers' own jitter.
  server::Random layers_random_;
  std::unique_ptr<server::ThreadMetrics> metrics_owner_ = std::make_unique<server::ThreadMetrics>();
  server::ThreadMetrics& metrics_ = *metrics_owner_;
  Timeline timeline_;
  SimulatedOrigin origin_;
  server::OriginState state_;
  std::unique_ptr<server::Service> service_;
  std::vector<std::unique_ptr<Fleet>> fleets_;
  std::vector<std::unique_ptr<server::Timer>> events_;
};

}  // namespace fetchd::simulation
