#include "net/dns_cache.h"

namespace fetchd::server {

const DnsCache::Entry* DnsCache::Find(const std::string& name, Instant now) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return nullptr;
  if (it->second->second.expires <= now) {
    entries_.erase(it->second);
    by_name_.erase(it);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, it->second);
  return &entries_.front().second;
}

void DnsCache::Put(const std::string& name, Entry entry) {
  if (max_entries_ == 0) return;
  auto it = by_name_.find(name);
  if (it != by_name_.end()) {
    it->second->second = std::move(entry);
    entries_.splice(entries_.begin(), entries_, it->second);
    return;
  }
  if (entries_.size() >= max_entries_) {
    by_name_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(name, std::move(entry));
  by_name_[name] = entries_.begin();
}

}  // namespace fetchd::server
