#include "policy/policy_book.h"

#include <utility>

#include "policy/patterns.h"

namespace fetchd::server {
namespace {

uint64_t NextVersion() {
  static std::atomic<uint64_t> last = 0;
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

PolicyBook::PolicyBook(PolicyRules rules) : rules_(std::move(rules)) {
  otherwise_.policy = &rules_.origin;
  for (size_t i = 0; i < rules_.rules.size(); ++i) {
    for (const std::string& pattern : rules_.rules[i].hosts) {
      const bool below = pattern.starts_with("*.");
      const auto [entry, fresh] = hosts_.try_emplace(below ? pattern.substr(1) : pattern);
      if (!fresh) continue;
      auto policy = std::make_unique<OriginPolicy>(rules_.rules[i].origin);
      policy->rule = pattern;
      entry->second = {.policy = policy.get(), .rule = static_cast<int>(i)};
      if (pattern == "*") otherwise_ = entry->second;
      policies_.push_back(std::move(policy));
      has_suffixes_ = has_suffixes_ || below;
    }
  }
  for (size_t i = 0; i < rules_.profiles.size(); ++i) profiles_.try_emplace(rules_.profiles[i], i + 1);
}

const PolicyBook::Host& PolicyBook::FindHost(std::string_view host) const {
  const auto find = [this](std::string_view key) { return hosts_.find(absl::string_view(key.data(), key.size())); };
  // "h." is another origin than "h", yet the same host: a dot is no way around a rule.
  if (host.ends_with('.')) host.remove_suffix(1);
  if (const auto exact = find(host); exact != hosts_.end()) return exact->second;
  if (!has_suffixes_) return otherwise_;
  for (size_t dot = host.find('.', 1); dot != std::string_view::npos; dot = host.find('.', dot + 1)) {
    if (const auto suffix = find(host.substr(dot)); suffix != hosts_.end()) return suffix->second;
  }
  return otherwise_;
}

const CallPolicy* PolicyBook::FindCall(std::string_view host, std::string_view profile) const {
  size_t index = 0;
  if (!profile.empty()) {
    const auto found = profiles_.find(absl::string_view(profile.data(), profile.size()));
    if (found == profiles_.end()) return nullptr;
    index = found->second;
  }
  const int rule = hosts_.empty() ? -1 : FindHost(host).rule;
  return &(rule < 0 ? rules_.calls : rules_.rules[static_cast<size_t>(rule)].calls)[index];
}

uint32_t PolicyBook::FindWeight(std::string_view caller) const {
  const PolicyRules::Caller* best = nullptr;
  for (const PolicyRules::Caller& rule : rules_.callers) {
    if (rule.pattern == caller) return rule.weight;
    if (best != nullptr && rule.pattern.size() <= best->pattern.size()) continue;
    if (MatchesCaller(rule.pattern, caller)) best = &rule;
  }
  return best == nullptr ? 1 : best->weight;
}

PolicySource::PolicySource(std::shared_ptr<const PolicyBook> book) : version_(NextVersion()), book_(std::move(book)) {}

std::shared_ptr<const PolicyBook> PolicySource::Get() const {
  const std::lock_guard lock(mutex_);
  return book_;
}

const PolicyBook& PolicySource::Current() const {
  struct Kept {
    uint64_t version = 0;
    std::shared_ptr<const PolicyBook> book;
  };
  thread_local Kept kept;
  const uint64_t now = version();
  if (kept.version != now) {
    // A book published in between is newer than its version says; the next call takes it once more.
    kept.book = Get();
    kept.version = now;
  }
  return *kept.book;
}

void PolicySource::Publish(std::shared_ptr<const PolicyBook> book) {
  {
    const std::lock_guard lock(mutex_);
    book_.swap(book);
    version_.store(NextVersion(), std::memory_order_release);
  }
  // The old book may end here, outside the lock.
}

}  // namespace fetchd::server
