// Runs the scenarios and prints what happened: fetchd_simulation [--seed=N] [NAME...]
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "simulation/scenarios.h"

namespace fetchd::simulation {
namespace {

using State = SimulatedOrigin::State;

struct Scenario {
  std::string_view name;
  std::function<void(uint64_t seed, std::ostream& out)> run;
};

const std::vector<Scenario>& Scenarios() {
  static const auto* scenarios = new std::vector<Scenario>{
      {"outage",
       [](uint64_t seed, std::ostream& out) {
         RunOutage({.how = State::kRefusing}, seed, out);
         RunOutage({.how = State::kHanging}, seed, out);
       }},
      {"failing",
       [](uint64_t seed, std::ostream& out) {
         for (const double rate : {1000.0, 100.0, 10.0}) RunFailing(0.3, rate, {}, seed, out);
         // What other defaults would do.
         for (const double rate : {1000.0, 3.0})
           for (const int volume : {20, 100})
             for (const int consecutive : {10, 20})
               RunFailing(0.4, rate, {.consecutive_failures = consecutive, .min_volume = volume}, seed, out);
       }},
      {"retry-after", [](uint64_t seed, std::ostream& out) { RunRetryAfter(seed, out); }},
      {"knee", [](uint64_t seed, std::ostream& out) { RunKnee(seed, out); }},
      {"hedge", [](uint64_t seed, std::ostream& out) { RunHedge(seed, out); }},
      {"fairness",
       [](uint64_t seed, std::ostream& out) {
         for (const int open : {200, 2000}) RunFairness(open, seed, out);
       }},
      {"hour", [](uint64_t seed, std::ostream& out) { RunHour(seed, out); }},
  };
  return *scenarios;
}

int Usage() {
  std::cerr << "usage: fetchd_simulation [--seed=N] [SCENARIO...]\nscenarios:";
  for (const Scenario& scenario : Scenarios()) std::cerr << ' ' << scenario.name;
  std::cerr << "\n";
  return 2;
}

int Main(const std::vector<std::string_view>& arguments) {
  uint64_t seed = kSeed;
  std::vector<std::string_view> names;
  for (std::string_view argument : arguments) {
    if (argument.starts_with("--seed=")) {
      if (!absl::SimpleAtoi(std::string(argument.substr(7)), &seed)) return Usage();
      continue;
    }
    const bool known = std::any_of(Scenarios().begin(), Scenarios().end(),
                                   [&](const Scenario& scenario) { return scenario.name == argument; });
    if (!known) return Usage();
    names.push_back(argument);
  }
  const auto began = std::chrono::steady_clock::now();
  for (const Scenario& scenario : Scenarios())
    if (names.empty() || std::find(names.begin(), names.end(), scenario.name) != names.end())
      scenario.run(seed, std::cout);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::cerr << absl::StreamFormat("took %.1f s of real time\n", took.count());
  return 0;
}

}  // namespace
}  // namespace fetchd::simulation

int main(int argc, char** argv) {
  return fetchd::simulation::Main(std::vector<std::string_view>(argv + 1, argv + argc));
}
