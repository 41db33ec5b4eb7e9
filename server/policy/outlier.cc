#include "policy/outlier.h"

#include <algorithm>
#include <bit>

namespace fetchd::server {
namespace {

// Of a well address's results one in so many may be a failure.
constexpr int kWellShare = 4;

// An address unheard of for so long is not one of the origin's any more. Longer than any is left out.
constexpr Duration kGone = std::chrono::minutes(10);

}  // namespace

const OutlierTracker::Known* OutlierTracker::Find(const IpAddress& address) const {
  for (const Known& known : addresses_)
    if (known.address == address) return &known;
  return nullptr;
}

OutlierTracker::Known& OutlierTracker::FindOrAdd(const IpAddress& address, Instant now) {
  for (Known& known : addresses_)
    if (known.address == address) return known;
  if (addresses_.size() < kMostAddresses) return addresses_.emplace_back(Known{.address = address});
  // The one unheard of for longest makes room, but not one that is left out as long as there is another.
  auto staler = [now](const Known& a, const Known& b) {
    bool a_out = a.ejected_until > now, b_out = b.ejected_until > now;
    return a_out != b_out ? b_out : a.last_result < b.last_result;
  };
  Known& oldest = *std::min_element(addresses_.begin(), addresses_.end(), staler);
  oldest = Known{.address = address};
  return oldest;
}

bool OutlierTracker::Learn(const IpAddress& address, bool ok, Instant now) {
  if (!options_.enabled) return false;
  Known& known = FindOrAdd(address, now);
  // Left over from before it was left out.
  if (known.ejected_until > now) return false;
  known.last_result = now;
  known.history = static_cast<uint16_t>(known.history << 1 | (ok ? 0 : 1));
  if (known.results < kHistory) ++known.results;
  if (ok) {
    known.failures = 0;
    known.ejections = 0;
    known.last_success = now;
    // When all is well again nothing need be remembered.
    bool calm = std::all_of(addresses_.begin(), addresses_.end(), [now](const Known& k) {
      return (k.history == 0 && k.ejections == 0) || now - k.last_result > kGone;
    });
    if (calm) Reset();
    return false;
  }
  if (known.failures++ == 0) known.failing_since = now;
  if (known.failures < options_.consecutive_failures) return false;
  if (MuchWorseThanSiblings(known, now)) {
    if (known.ejections < UINT8_MAX) ++known.ejections;
    known.ejected_until = After(now, std::min(options_.ejection * known.ejections, kLongestEjection));
    known.failures = 0;
    known.history = 0;
    known.results = 0;
    return true;
  }
  if (!AnyWell(now))
    for (Known& k : addresses_) k.ejected_until = std::min(k.ejected_until, now);
  return false;
}

bool OutlierTracker::MuchWorseThanSiblings(const Known& known, Instant now) const {
  int siblings = 0, well = 0;
  for (const Known& sibling : addresses_) {
    bool out = sibling.ejected_until > now;
    if (&sibling == &known || (!out && sibling.results == 0)) continue;
    ++siblings;
    if (out) continue;
    // One or two good results say little where five bad ones are asked for.
    bool heard = sibling.last_success >= known.failing_since &&
                 2 * sibling.results >= std::min(options_.consecutive_failures, 2 * kHistory);
    if (heard && std::popcount(sibling.history) * kWellShare <= sibling.results) ++well;
  }
  return well > 0 && 2 * well >= siblings;
}

bool OutlierTracker::AnyWell(Instant now) const {
  return std::any_of(addresses_.begin(), addresses_.end(), [&](const Known& known) {
    return known.ejected_until <= now && known.results > 0 && known.failures < options_.consecutive_failures;
  });
}

bool OutlierTracker::Ejected(const IpAddress& address, Instant now) const {
  const Known* known = Find(address);
  return known != nullptr && known->ejected_until > now;
}

void OutlierTracker::FilterKnown(std::vector<IpAddress>& addresses, Instant now) const {
  if (addresses.size() < 2 || options_.max_ejected <= 0) return;
  std::vector<const Known*> out;
  for (const Known& known : addresses_)
    if (known.ejected_until > now && std::find(addresses.begin(), addresses.end(), known.address) != addresses.end())
      out.push_back(&known);
  if (out.empty()) return;
  std::sort(out.begin(), out.end(), [](const Known* a, const Known* b) {
    return a->ejections != b->ejections ? a->ejections > b->ejections : a->ejected_until > b->ejected_until;
  });
  // Not quite a whole number for shares such as 0.1 of 30.
  double share = std::min(options_.max_ejected, 1.0) * static_cast<double>(addresses.size()) + 1e-9;
  size_t most = std::clamp<size_t>(static_cast<size_t>(share), 1, addresses.size() - 1);
  out.resize(std::min(out.size(), most));
  std::erase_if(addresses, [&](const IpAddress& address) {
    return std::any_of(out.begin(), out.end(), [&](const Known* known) { return known->address == address; });
  });
}

Instant OutlierTracker::EjectedUntil(const IpAddress& address) const {
  const Known* known = Find(address);
  return known == nullptr ? Instant{} : known->ejected_until;
}

std::vector<IpAddress> OutlierTracker::ejected(Instant now) const {
  std::vector<IpAddress> all;
  for (const Known& known : addresses_)
    if (known.ejected_until > now) all.push_back(known.address);
  return all;
}

void OutlierTracker::SetOptions(const OutlierOptions& options) {
  options_ = options;
  if (!options_.enabled) Reset();
}

}  // namespace fetchd::server
