// What names were found to mean, for a while.
#pragma once

#include <list>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "model/ip_address.h"

namespace fetchd::server {

// An LRU map from names to answers with an end. Belongs to one thread.
class DnsCache {
 public:
  struct Entry {
    std::vector<IpAddress> addresses;
    // Why there is no address, if there is none.
    std::string error;
    Instant expires = kNever;
  };

  // 0: keeps nothing.
  explicit DnsCache(size_t max_entries) : max_entries_(max_entries) {}

  // The entry unless it has expired at `now`; valid until the next call.
  const Entry* Find(const std::string& name, Instant now);
  void Put(const std::string& name, Entry entry);
  size_t size() const { return entries_.size(); }

 private:
  using Item = std::pair<std::string, Entry>;
  size_t max_entries_;
  std::list<Item> entries_;  // most recently used first
  absl::flat_hash_map<std::string, std::list<Item>::iterator> by_name_;
};

}  // namespace fetchd::server
