// Which policy holds for which origin, profile and caller; and the one place where the current answers are.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "model/origin.h"
#include "model/proxy.h"
#include "policy/origin_policy.h"

namespace fetchd::server {

// What a PolicyBook is made of.
struct PolicyRules {
  // What origins get that no rule matches; its `rule` is empty. Also all there is if `rules` and `profiles` are empty.
  OriginPolicy origin;
  // By profile: [0] without one, [i + 1] with profiles[i].
  std::vector<CallPolicy> calls = std::vector<CallPolicy>(1);
  // Names, no two the same.
  std::vector<std::string> profiles;
  struct Rule {
    // CheckHostPattern holds for each. Of equal ones the first counts.
    std::vector<std::string> hosts;
    // Its `rule` is not read.
    OriginPolicy origin;
    // As PolicyRules::calls.
    std::vector<CallPolicy> calls;
  };
  std::vector<Rule> rules;
  struct Caller {
    // IsCallerPattern. Of equal ones the first counts.
    std::string pattern;
    // 1 to 1,000.
    uint32_t weight = 1;
  };
  std::vector<Caller> callers;
  // No two of the same name, none of the name "direct".
  std::vector<std::shared_ptr<const Proxy>> proxies;
  // What a request may ask for at most. `min_bytes_per_second` is not read.
  Timeouts timeout_caps = {.total = std::chrono::minutes(10),
                           .attempt = std::chrono::minutes(10),
                           .queue = std::chrono::seconds(60),
                           .dns = std::chrono::seconds(30),
                           .connect = std::chrono::seconds(30),
                           .tls = std::chrono::seconds(30),
                           .send_idle = std::chrono::minutes(2),
                           .first_byte = std::chrono::minutes(5),
                           .between_bytes = std::chrono::minutes(2)};
};

// The rules, arranged for looking up: an exact host wins over the longest "*." pattern that fits, that over "*", that
// over the defaults. A lookup without rules and profile looks at nothing; else it is one in a hash table for the
// profile, one for the host, and one for each of the host's labels if there are "*." patterns. Immutable; thread-safe.
class PolicyBook {
 public:
  // The defaults as shipped.
  PolicyBook() : PolicyBook(PolicyRules()) {}
  explicit PolicyBook(PolicyRules rules);
  PolicyBook(const PolicyBook&) = delete;
  PolicyBook& operator=(const PolicyBook&) = delete;

  // Lives as long as the book, as does what the others return.
  const OriginPolicy& ForOrigin(const Origin& origin) const {
    return hosts_.empty() ? rules_.origin : *FindHost(origin.host).policy;
  }
  // Null: no such profile. An empty `profile` is none.
  const CallPolicy* ForCall(const Origin& origin, std::string_view profile) const {
    if (profile.empty() && hosts_.empty()) return &rules_.calls.front();
    return FindCall(origin.host, profile);
  }
  // The caller's share where callers wait for an origin; 1 unless a rule says otherwise. An exact name wins over the
  // longest pattern that fits.
  uint32_t WeightOf(std::string_view caller) const { return rules_.callers.empty() ? 1 : FindWeight(caller); }
  const std::vector<std::shared_ptr<const Proxy>>& proxies() const { return rules_.proxies; }
  const Timeouts& timeout_caps() const { return rules_.timeout_caps; }
  // Which of PolicyRules::rules holds for a host; -1: none.
  int RuleOf(const Origin& origin) const { return hosts_.empty() ? -1 : FindHost(origin.host).rule; }

 private:
  // What a host pattern leads to.
  struct Host {
    const OriginPolicy* policy = nullptr;
    int rule = -1;
  };
  const Host& FindHost(std::string_view host) const;
  const CallPolicy* FindCall(std::string_view host, std::string_view profile) const;
  uint32_t FindWeight(std::string_view caller) const;

  const PolicyRules rules_;
  // One for each pattern, so that each names its own.
  std::vector<std::unique_ptr<const OriginPolicy>> policies_;
  // By host, by ".example.com" for "*.example.com", and "*".
  absl::flat_hash_map<std::string, Host> hosts_;
  bool has_suffixes_ = false;
  Host otherwise_;
  // Indices into `calls`.
  absl::flat_hash_map<std::string, size_t> profiles_;
};

// The current book. Thread-safe. Owned by main, or by a test; outlives all who read it.
class PolicySource {
 public:
  explicit PolicySource(std::shared_ptr<const PolicyBook> book = std::make_shared<const PolicyBook>());
  PolicySource(const PolicySource&) = delete;
  PolicySource& operator=(const PolicySource&) = delete;

  // The current book, for keeping. Takes a lock.
  std::shared_ptr<const PolicyBook> Get() const;
  // The current book, for use at once: it stays until this thread calls Current again, of this or another source. One
  // atomic load, unless there is a new book or the thread came from another source.
  const PolicyBook& Current() const;
  // Changes with each Publish, and no two sources ever have the same: who keeps what it found in a book asks this, one
  // atomic load, whether to look again. Never 0.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // From now on `book`; who holds the one before may go on with it.
  void Publish(std::shared_ptr<const PolicyBook> book);

 private:
  std::atomic<uint64_t> version_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const PolicyBook> book_;
};

}  // namespace fetchd::server
