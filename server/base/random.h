// The only door to chance.
#pragma once

#include <cstdint>
#include <limits>

namespace fetchd::server {

// A small fast bit generator (SplitMix64) for jitter and ids; not for secrets. Not thread-safe: one for each thread.
// Tests seed it.
class Random {
 public:
  using result_type = uint64_t;
  explicit Random(uint64_t seed) : state_(seed) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<uint64_t>::max(); }
  result_type operator()();

  // Uniform in [0, 1).
  double NextDouble() { return static_cast<double>((*this)() >> 11) * 0x1.0p-53; }

  // A seed from the operating system.
  static uint64_t Seed();

 private:
  uint64_t state_;
};

}  // namespace fetchd::server
