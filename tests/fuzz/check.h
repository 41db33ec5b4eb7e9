// What all fuzzers say when something does not hold, and how they cut their input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace fetchd::server {

// Ends the process, so that the fuzzer keeps the input, unless the rule holds.
inline void Require(bool holds, std::string_view rule) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(rule.size()), rule.data());
  std::abort();
}

inline std::string_view Text(const uint8_t* data, size_t size) { return {reinterpret_cast<const char*>(data), size}; }

// Takes one byte off the front, 0 if there is none: what an input says about how it is to be fed.
inline uint8_t TakeByte(std::string_view& input) {
  if (input.empty()) return 0;
  const auto byte = static_cast<uint8_t>(input.front());
  input.remove_prefix(1);
  return byte;
}

// Takes a line off the front, without its LF.
inline std::string_view TakeLine(std::string_view& input) {
  const std::string_view line = input.substr(0, input.find('\n'));
  input.remove_prefix(line.size() < input.size() ? line.size() + 1 : input.size());
  return line;
}

// Numbers that follow from a byte of the input, the same in each run.
class Dice {
 public:
  explicit Dice(uint8_t seed) : state_(seed * 2654435761u + 12345u) {}
  // 0 to n - 1.
  uint32_t Below(uint32_t n) {
    state_ = state_ * 1664525u + 1013904223u;
    return (state_ >> 8) % n;
  }
  // The size of the next piece: mostly small, now and then all that is there.
  size_t Piece() {
    switch (Below(4)) {
      case 0:
        return 1;
      case 1:
        return 1 + Below(8);
      case 2:
        return 1 + Below(100);
      default:
        return 1 + Below(5000);
    }
  }

 private:
  uint32_t state_;
};

}  // namespace fetchd::server
