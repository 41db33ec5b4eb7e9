#include "rpc/fetch_ids.h"

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace fetchd::server {

std::string MintIdempotencyKey() {
  const uint64_t high = Random::Seed(), low = Random::Seed();
  return absl::StrCat(absl::Hex(high >> 32, absl::kZeroPad8), "-", absl::Hex(high >> 16 & 0xffff, absl::kZeroPad4), "-",
                      absl::Hex((high & 0xfff) | 0x4000, absl::kZeroPad4), "-",
                      absl::Hex((low >> 48 & 0x3fff) | 0x8000, absl::kZeroPad4), "-",
                      absl::Hex(low & 0xffffffffffff, absl::kZeroPad12));
}

FetchIds::FetchIds() : FetchIds(Random::Seed()) {}

std::string FetchIds::Next() {
  return absl::StrCat(absl::Hex(next_.fetch_add(1, std::memory_order_relaxed), absl::kZeroPad16));
}

}  // namespace fetchd::server
