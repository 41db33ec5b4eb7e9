#include "rpc/fetch_ids.h"

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace fetchd::server {

FetchIds::FetchIds() : FetchIds(Random::Seed()) {}

std::string FetchIds::Next() {
  return absl::StrCat(absl::Hex(next_.fetch_add(1, std::memory_order_relaxed), absl::kZeroPad16));
}

}  // namespace fetchd::server
