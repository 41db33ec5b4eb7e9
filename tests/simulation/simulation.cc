#include "simulation/simulation.h"

#include <utility>

namespace fetchd::simulation {

Simulation::Simulation(const SimulationOptions& options)
    : begin_(time_.Now()),
      random_(options.seed),
      layers_random_(options.seed + 1),
      timeline_(begin_),
      origin_(options.origin, random_),
      state_(server::Origin{}, options.policy, options.connections, time_.clock(), time_.timers(), metrics_,
             options.seed + 2),
      service_(server::MakeLayers(
          {.executor = time_.executor(), .random = layers_random_, .metrics = metrics_, .max_queue = options.max_queue},
          std::make_unique<OriginService>(origin_, timeline_, time_.executor()))) {}

Fleet& Simulation::AddFleet(const FleetModel& model) {
  fleets_.push_back(std::make_unique<Fleet>(
      model,
      Fleet::World{.time = time_, .random = random_, .origin = state_, .service = *service_, .timeline = timeline_}));
  fleets_.back()->Start();
  return *fleets_.back();
}

void Simulation::At(Duration when, absl::AnyInvocable<void()> what) {
  events_.push_back(std::make_unique<server::Timer>(time_.timers(), std::move(what)));
  events_.back()->Arm(begin_ + when);
}

void Simulation::Finish() {
  for (auto& fleet : fleets_) fleet->Stop();
  for (auto& fleet : fleets_)
    while (fleet->open() > 0) time_.RunUntil(time_.Now() + std::chrono::milliseconds(100));
}

uint64_t Simulation::Digest() const {
  uint64_t digest = timeline_.Digest();
  for (const auto& fleet : fleets_) digest = digest * 31 + fleet->tally().Digest();
  return digest;
}

}  // namespace fetchd::simulation
