// An origin that exists in virtual time only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

#include "base/random.h"
#include "engine/service.h"
#include "model/ip_address.h"
#include "policy/rate_limit.h"
#include "simulation/measures.h"
#include "simulation/virtual_time.h"

namespace fetchd::simulation {

// How an origin behaves.
struct OriginModel {
  // A call takes so long to serve: a log-normal distribution of this median, and of this deviation of the logarithm.
  Duration median = std::chrono::milliseconds(20);
  double spread = 0.3;
  // This share of the calls takes `slow` instead.
  double slow_share = 0;
  Duration slow = std::chrono::milliseconds(500);
  // Calls served at once; further ones wait for each other, first come first served: the knee. 0: no limit.
  int workers = 0;
  // This share of the calls is answered with `failure_status`, in the usual time.
  double failure_share = 0;
  int failure_status = 503;
  // Calls beyond this rate are answered with 429 and `Retry-After: retry_after`, at once. No limit if per_second is 0.
  server::RateLimitOptions rate_limit = {};
  Duration retry_after = std::chrono::seconds(10);
};

// The origin: which answer a call gets, and when. All of it is drawn when the call arrives, from the simulation's one
// generator. A caller who gives up does not spare the origin the work.
class SimulatedOrigin {
 public:
  enum class State {
    kUp,
    kRefusing,  // its process is gone: connections are refused in a millisecond, calls under way are broken off
    kHanging    // it takes calls and answers none, not even later
  };
  struct Answer {
    Duration takes{};
    int status = 200;
    bool refused = false;
    bool hangs = false;
    std::optional<Duration> retry_after = {};
  };

  SimulatedOrigin(const OriginModel& model, server::Random& random) : model_(model), random_(random) {
    SetWorkers(model.workers, Instant{});
  }

  // A call arrives.
  Answer Arrive(Instant now);
  // The state changed while a call that began at `began` was served.
  bool BrokeOff(Instant began) const { return state_ == State::kRefusing || last_refusing_ >= began; }
  bool Hung(Instant began) const { return state_ == State::kHanging || last_hanging_ >= began; }
  // A caller has read a 429.
  void OnToldToWait(Duration wait, Instant now) { told_until_ = std::max(told_until_, now + wait); }

  void SetState(State state, Instant now);
  void SetWorkers(int workers, Instant now);
  void SetMedian(Duration median) { model_.median = median; }
  void SetFailureShare(double share) { model_.failure_share = share; }

  const Arrivals& arrivals() const { return arrivals_; }
  uint64_t calls() const { return calls_; }
  uint64_t told_to_wait() const { return told_to_wait_; }
  // Calls that came although a caller had read that nobody should, yet.
  uint64_t calls_too_early() const { return calls_too_early_; }
  // The end of the time in which nobody should call, as far as a caller has read.
  Instant told_until() const { return told_until_; }

 private:
  Duration ServiceTime();

  OriginModel model_;
  server::Random& random_;
  State state_ = State::kUp;
  Instant last_refusing_ = Instant::min();
  Instant last_hanging_ = Instant::min();
  // When each worker is free.
  std::priority_queue<Instant, std::vector<Instant>, std::greater<>> free_at_;
  server::RateLimit rate_limit_{model_.rate_limit};
  Arrivals arrivals_;
  uint64_t calls_ = 0;
  uint64_t told_to_wait_ = 0;
  uint64_t calls_too_early_ = 0;
  Instant told_until_{};
};

// The innermost service: one call of the origin, in the place of a connection and an exchange on it.
class OriginService final : public server::Service {
 public:
  // All outlive this.
  OriginService(SimulatedOrigin& origin, Timeline& timeline, Executor executor)
      : origin_(origin), timeline_(timeline), executor_(std::move(executor)) {}
  server::Task<server::AttemptOutcome> Call(server::FetchContext& context) override;

 private:
  SimulatedOrigin& origin_;
  Timeline& timeline_;
  Executor executor_;
  const server::Endpoint address_{.address = *server::IpAddress::Parse("192.0.2.1"), .port = 80};
};

}  // namespace fetchd::simulation
