// The door: how many fetches may be in progress, and whether any new one is let in.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace fetchd::server {

struct AdmissionOptions {
  // Fetches in progress at once, over all callers. Default 20,000. A batch counts as many as it may have in flight.
  int64_t max_in_flight = 20'000;
};

// Counts admitted fetches and refuses beyond the limit, or all while draining. Thread-safe, atomics only. Outlives its
// permits.
class Admission {
 public:
  enum class Verdict { kAdmitted, kOverloaded, kDraining };

  // Leave for a number of fetches; gives them back when destroyed. Empty if they were refused. Moves between threads.
  class Permit {
   public:
    Permit() = default;
    Permit(Permit&& other) noexcept
        : admission_(std::exchange(other.admission_, nullptr)), fetches_(std::exchange(other.fetches_, 0)) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(admission_, other.admission_);
      std::swap(fetches_, other.fetches_);
      return *this;
    }
    ~Permit() {
      if (admission_ != nullptr) admission_->in_flight_.fetch_sub(fetches_, std::memory_order_acq_rel);
    }
    explicit operator bool() const { return admission_ != nullptr; }

   private:
    friend class Admission;
    Permit(Admission* admission, int64_t fetches) : admission_(admission), fetches_(fetches) {}
    Admission* admission_ = nullptr;
    int64_t fetches_ = 0;
  };

  explicit Admission(AdmissionOptions options = {}) : options_(options) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Admits `fetches` (> 0) at once or none of them; `permit` is set if they are. A number above the limit is admitted
  // when nothing else is in progress, so that a large batch is not refused for ever.
  Verdict Admit(int64_t fetches, Permit& permit);
  // From now on everything new is refused. For good.
  void StartDraining() { draining_.store(true, std::memory_order_release); }
  bool draining() const { return draining_.load(std::memory_order_acquire); }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_acquire); }
  const AdmissionOptions& options() const { return options_; }

 private:
  const AdmissionOptions options_;
  std::atomic<int64_t> in_flight_{0};
  std::atomic<bool> draining_{false};
};

}  // namespace fetchd::server
