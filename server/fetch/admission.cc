#include "fetch/admission.h"

namespace fetchd::server {

Admission::Verdict Admission::Admit(int64_t fetches, Permit& permit) {
  if (draining()) return Verdict::kDraining;
  int64_t before = in_flight_.load(std::memory_order_relaxed);
  do {
    if (before > 0 && before + fetches > options_.max_in_flight) return Verdict::kOverloaded;
  } while (!in_flight_.compare_exchange_weak(before, before + fetches, std::memory_order_acq_rel));
  permit = Permit(this, fetches);
  return Verdict::kAdmitted;
}

}  // namespace fetchd::server
