// What a simulation counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "simulation/virtual_time.h"

namespace fetchd::simulation {

// How one fetch ended.
struct FetchEnd {
  Instant began;
  Instant ended;
  // Where the time of its last attempt went: at the gate.
  Duration waited{};
  // Of the response; 0 if there was none.
  int status = 0;
  // server::FailureCode, 0 on a response.
  uint8_t failure = 0;
  int attempts = 0;
  bool ok() const { return failure == 0 && status < 400; }
};

// Fetches of one fleet.
class Tally {
 public:
  void OnBegin() { ++offered; }
  void OnEnd(const FetchEnd& end);

  uint64_t offered = 0;
  uint64_t ended = 0;
  uint64_t succeeded = 0;
  uint64_t attempts = 0;
  // Of the others: by status and by failure code.
  std::array<uint64_t, 600> statuses{};
  std::array<uint64_t, 256> failures{};
  // When the last fetch began that did not succeed.
  Instant last_unserved_began{};

  // The time that `share` (0 to 1) of the successful fetches took at most, and spent waiting at the gate. 0 if none
  // succeeded.
  Duration Latency(double share) const { return Percentile(latencies_, share); }
  Duration Wait(double share) const { return Percentile(waits_, share); }
  // "200 x 503, 12 x circuit_open".
  std::string Unserved() const;
  // Everything above in one number, for comparing runs.
  uint64_t Digest() const;

 private:
  static Duration Percentile(const std::vector<uint32_t>& micros, double share);
  std::vector<uint32_t> latencies_;
  std::vector<uint32_t> waits_;
};

// Counts for each second.
struct Second {
  uint32_t offered = 0;    // fetches that began
  uint32_t reached = 0;    // attempts that came to the origin
  uint32_t succeeded = 0;  // fetches that ended well
  uint32_t failed = 0;     // fetches that ended otherwise, after an attempt at the origin
  uint32_t refused = 0;    // fetches that ended without any
};

// Virtual time in seconds since the beginning.
class Timeline {
 public:
  explicit Timeline(Instant begin) : begin_(begin) {}
  Second& At(Instant now);
  const std::vector<Second>& seconds() const { return seconds_; }
  // Rows of `step` seconds each, of [from, to).
  std::string Table(size_t from, size_t to, size_t step = 1) const;
  Second Sum(size_t from, size_t to) const;
  uint64_t Digest() const;

 private:
  Instant begin_;
  std::vector<Second> seconds_;
};

// The instants at which attempts came to the origin, in order.
class Arrivals {
 public:
  void Add(Instant at) { instants_.push_back(at); }
  // In [from, to).
  size_t Count(Instant from, Instant to) const;
  // The most in any `span` that begins in [from, to).
  size_t Peak(Instant from, Instant to, Duration span) const;

 private:
  std::vector<Instant> instants_;
};

}  // namespace fetchd::simulation
