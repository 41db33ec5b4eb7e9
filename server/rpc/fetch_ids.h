// Names for fetches.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace fetchd::server {

// A random UUID (RFC 9562 section 5.4), as the value of an idempotency-key field: without the quotes that the draft of
// that field asks for, as the origins that know it do without.
std::string MintIdempotencyKey();

// Hands out ids of 16 hexadecimal digits, counting from a random place: unique within a process, and among processes
// for as long as one hands out far fewer than 2^32. Thread-safe.
class FetchIds {
 public:
  FetchIds();
  explicit FetchIds(uint64_t first) : next_(first) {}
  std::string Next();

 private:
  std::atomic<uint64_t> next_;
};

}  // namespace fetchd::server
