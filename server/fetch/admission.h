// The door: how many fetches may be in progress, how much memory they may hold, and whether any new one is let in.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/random.h"
#include "model/request.h"

namespace fetchd::server {

// Of the shared budgets (fetches, bytes) the last fifth is kept from bulk, and the last twentieth from normal work, so
// that someone who waits for an answer is refused last.
struct AdmissionOptions {
  // Fetches in progress at once, over all callers. Default 20,000. A batch counts as many as it may have in flight.
  int64_t max_in_flight = 20'000;
  // Of one caller. 0: no limit of its own.
  int64_t max_in_flight_per_caller = 0;
  // Bytes of bodies in memory, over all callers; only new fetches are refused for it, none is ended. 0: no limit.
  int64_t max_body_bytes = int64_t{1} << 30;
};

// What one caller has in progress, where that is limited. Thread-safe.
class CallerCounts {
 public:
  // Adds `n` unless that makes more than `limit`; one call alone may be larger.
  bool Add(std::string_view caller, int64_t n, int64_t limit);
  void Remove(std::string_view caller, int64_t n);
  // What the caller has; 0 for one who has nothing, and of whom nothing is kept.
  int64_t Of(std::string_view caller);

 private:
  static constexpr size_t kShards = 16;
  struct Shard {
    std::mutex mutex;
    absl::flat_hash_map<std::string, int64_t> counts;
  };
  Shard& ShardOf(std::string_view caller);
  std::array<Shard, kShards> shards_;
};

// Counts admitted fetches and refuses beyond the limits, or all while draining. Thread-safe; a fetch that is admitted
// costs two atomic additions. Outlives its permits.
class Admission {
 public:
  enum class Verdict : uint8_t { kAdmitted, kTooMany, kTooManyOfCaller, kTooManyBytes, kDraining };
  static constexpr size_t kVerdicts = 5;
  static constexpr size_t kPriorities = 3;

  // Who wants in.
  struct Request {
    // More than 0.
    int64_t fetches = 1;
    std::string_view caller = {};
    Priority priority = Priority::kNormal;
    // Bytes of bodies in memory now.
    int64_t body_bytes = 0;
  };

  // Leave for a number of fetches; gives them back when destroyed. Empty if they were refused. Moves between threads.
  class Permit {
   public:
    Permit() = default;
    Permit(Permit&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)),
          fetches_(std::exchange(other.fetches_, 0)),
          caller_(std::move(other.caller_)) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(admission_, other.admission_);
      std::swap(fetches_, other.fetches_);
      std::swap(caller_, other.caller_);
      return *this;
    }
    ~Permit() {
      if (admission_ != nullptr) admission_->Leave(fetches_, caller_);
    }
    explicit operator bool() const { return admission_ != nullptr; }

   private:
    friend class Admission;
    Permit(Admission* admission, int64_t fetches, std::string caller)
        : admission_(admission), fetches_(fetches), caller_(std::move(caller)) {}
    Admission* admission_ = nullptr;
    int64_t fetches_ = 0;
    // Empty if callers are not limited.
    std::string caller_;
  };

  explicit Admission(AdmissionOptions options = {}, uint64_t seed = Random::Seed())
      : options_(options), random_(seed) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Admits all of the fetches at once or none of them; `permit` is set if they are. A number above a limit is admitted
  // when nothing else is in progress, so that a large batch is not refused for ever.
  Verdict Admit(const Request& request, Permit& permit);
  // After a refusal: when to come again. As long as it takes, at the rate at which fetches have ended of late, until
  // the excess is gone; 100 ms to 5 s, spread by chance, so that those who were refused together do not come together.
  Duration RetryAfter(const Request& request, Instant now);

  // From now on everything new is refused. For good.
  void StartDraining() { draining_.store(true, std::memory_order_release); }
  bool draining() const { return draining_.load(std::memory_order_acquire); }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_acquire); }
  int64_t in_flight_of(std::string_view caller) { return callers_.Of(caller); }
  // Refusals so far, by their reason and the priority of who was refused.
  int64_t refused(Verdict verdict, Priority priority) const {
    return refused_[static_cast<size_t>(verdict)][static_cast<size_t>(priority)].load(std::memory_order_relaxed);
  }
  const AdmissionOptions& options() const { return options_; }
  // What is left of a budget for a priority.
  static int64_t Share(int64_t limit, Priority priority);

 private:
  Verdict Try(const Request& request, Permit& permit);
  void Leave(int64_t fetches, const std::string& caller) {
    in_flight_.fetch_sub(fetches, std::memory_order_acq_rel);
    ended_.fetch_add(fetches, std::memory_order_relaxed);
    if (!caller.empty()) callers_.Remove(caller, fetches);
  }

  const AdmissionOptions options_;
  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> ended_{0};
  std::atomic<bool> draining_{false};
  std::array<std::array<std::atomic<int64_t>, kPriorities>, kVerdicts> refused_{};
  CallerCounts callers_;

  // Of RetryAfter: how fast fetches end.
  std::mutex mutex_;
  Random random_;
  Instant measured_at_{};
  int64_t measured_ended_ = 0;
  double per_second_ = 0;
};

}  // namespace fetchd::server
