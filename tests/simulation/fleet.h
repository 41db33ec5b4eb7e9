// Callers of fetchd.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/timer_queue.h"
#include "engine/service.h"
#include "simulation/measures.h"
#include "simulation/virtual_time.h"

namespace fetchd::simulation {

// Callers who are alike.
struct FleetModel {
  std::string name = "fleet";
  int callers = 1;
  // Fetches per second of all of them together: at random instants (a Poisson process), or evenly spaced.
  double per_second = 100;
  bool evenly = false;
  // If set, they keep so many fetches open instead, each caller as many as the others: a flood. One begins when
  // another ends, after a second if that one had failed.
  int open = 0;
  // What they ask for; url, caller and id are set by the fleet.
  server::RetryOptions retry = {};
  server::Timeouts timeouts = {};
  server::HedgeOptions hedge = {};
  server::Priority priority = server::Priority::kNormal;
  uint32_t weight = 1;
};

// Starts fetches and counts how they end. Belongs to the simulation, which outlives nothing of it.
class Fleet {
 public:
  // What every fleet of a simulation uses; all outlive the fleet.
  struct World {
    VirtualTime& time;
    server::Random& random;
    server::OriginState& origin;
    server::Service& service;
    Timeline& timeline;
  };

  Fleet(const FleetModel& model, const World& world);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Until Stop.
  void Start();
  void Stop();
  // From the next fetch on.
  void SetRate(double per_second) { model_.per_second = per_second; }

  const Tally& tally() const { return tally_; }
  const std::string& name() const { return model_.name; }
  uint64_t open() const { return tally_.offered - tally_.ended; }

 private:
  void OnTimer();
  void Begin();
  void OnEnd(const FetchEnd& end);
  static server::Task<void> Fetch(Fleet& fleet, const server::FetchSpec& spec);

  FleetModel model_;
  World world_;
  // One for each caller. Every fetch of a caller is the same but for its time.
  std::vector<server::FetchSpec> specs_;
  size_t next_caller_ = 0;
  bool running_ = false;
  // Of those to be kept open: to begin at once, and after a while.
  int owed_ = 0;
  int owed_later_ = 0;
  Tally tally_;
  server::Timer timer_;
  server::Timer later_;
};

}  // namespace fetchd::simulation
