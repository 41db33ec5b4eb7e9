// Addresses of an origin that are much worse than its others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "model/ip_address.h"

namespace fetchd::server {

struct OutlierOptions {
  bool enabled = true;
  // An address is left out after so many failures in a row. 1 or more.
  int consecutive_failures = 5;
  // For so long, times how often it was left out without a success between; at most OutlierTracker::kLongestEjection.
  Duration ejection = std::chrono::seconds(30);
  // Share of an origin's addresses left out at most, 0 to 1; rounded down, but one if there are two or more. Never all.
  double max_ejected = 0.5;
  bool operator==(const OutlierOptions&) const = default;
};

// Leaves an address out for a while when it fails again and again while its siblings do well: at least half of those
// heard of are not left out themselves, had a success since the failures began, and no more than a quarter of their
// last results (kHistory of each) were failures. If they fail too, the origin is at fault, which is the breaker's
// business: then nobody is left out, and if no address is well any more those that were are let in again.
//
// One for each origin; its owner's thread only. Allocates only while some address fails, and does nothing for a success
// while none does.
class OutlierTracker {
 public:
  static constexpr Duration kLongestEjection = std::chrono::minutes(5);
  static constexpr int kHistory = 16;
  // Addresses remembered at once: origins with more are served by a few at a time.
  static constexpr size_t kMostAddresses = 16;

  explicit OutlierTracker(const OutlierOptions& options) : options_(options) {}

  // What came of connecting to, or asking, an address. True if it is left out from now on.
  bool OnResult(const IpAddress& address, bool ok, Instant now) {
    if (ok && addresses_.empty()) return false;
    return Learn(address, ok, now);
  }
  // Is it left out? Filter may let it in all the same.
  bool Ejected(const IpAddress& address, Instant now) const;
  // Takes out those left out, as far as max_ejected allows: first whoever was left out more often. Keeps the order and
  // never empties the list.
  void Filter(std::vector<IpAddress>& addresses, Instant now) const {
    if (!addresses_.empty()) FilterKnown(addresses, now);
  }
  // Those left out now, for viewers.
  std::vector<IpAddress> ejected(Instant now) const;
  // The end of an address's last ejection; the epoch if there was none of late.
  Instant EjectedUntil(const IpAddress& address) const;
  // Forgets everything.
  void Reset() { addresses_ = {}; }
  const OutlierOptions& options() const { return options_; }
  // Those left out stay so for their time, unless it is not enabled any more.
  void SetOptions(const OutlierOptions& options);

 private:
  struct Known {
    IpAddress address;
    // The last results, the newest lowest, 1 for a failure; `results` of them, up to kHistory.
    uint16_t history = 0;
    uint8_t results = 0;
    // How often it was left out without a success since.
    uint8_t ejections = 0;
    // Failures in a row, and when they began.
    int failures = 0;
    Instant failing_since{};
    Instant last_success{};
    Instant last_result{};
    Instant ejected_until{};
  };
  bool Learn(const IpAddress& address, bool ok, Instant now);
  void FilterKnown(std::vector<IpAddress>& addresses, Instant now) const;
  const Known* Find(const IpAddress& address) const;
  Known& FindOrAdd(const IpAddress& address, Instant now);
  bool MuchWorseThanSiblings(const Known& known, Instant now) const;
  bool AnyWell(Instant now) const;

  OutlierOptions options_;
  // In use while an address has failed of late.
  std::vector<Known> addresses_;
};

}  // namespace fetchd::server
