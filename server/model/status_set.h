// A set of HTTP statuses.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

namespace fetchd::server {

// Statuses from 400 to 599; a plain value of 32 bytes that is asked in a few instructions.
class StatusSet {
 public:
  static constexpr int kFirst = 400;
  static constexpr int kLast = 599;

  constexpr StatusSet() = default;
  constexpr StatusSet(std::initializer_list<int> statuses) {
    for (int status : statuses) Add(status);
  }

  // A status outside the range is left out.
  constexpr void Add(int status) {
    if (status < kFirst || status > kLast) return;
    const auto bit = static_cast<unsigned>(status - kFirst);
    bits_[bit / 64] |= uint64_t{1} << (bit % 64);
  }
  constexpr bool Has(int status) const {
    const auto bit = static_cast<unsigned>(status - kFirst);
    return bit <= kLast - kFirst && (bits_[bit / 64] >> (bit % 64) & 1) != 0;
  }
  constexpr bool empty() const { return (bits_[0] | bits_[1] | bits_[2] | bits_[3]) == 0; }
  constexpr bool operator==(const StatusSet&) const = default;

 private:
  std::array<uint64_t, 4> bits_{};
};

}  // namespace fetchd::server
