#include "simulation/measures.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "model/failure.h"

namespace fetchd::simulation {
namespace {

// FNV-1a over whole numbers.
class Hash {
 public:
  void Add(uint64_t n) { value_ = (value_ ^ n) * 0x100000001b3u; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325u;
};

uint32_t Micros(Duration d) {
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  return static_cast<uint32_t>(std::clamp<int64_t>(us, 0, UINT32_MAX));
}

}  // namespace

void Tally::OnEnd(const FetchEnd& end) {
  ++ended;
  attempts += static_cast<uint64_t>(end.attempts);
  if (end.ok()) {
    ++succeeded;
    latencies_.push_back(Micros(end.ended - end.began));
    waits_.push_back(Micros(end.waited));
    return;
  }
  last_unserved_began = std::max(last_unserved_began, end.began);
  if (end.failure != 0)
    ++failures[end.failure];
  else
    ++statuses[static_cast<size_t>(end.status)];
}

Duration Tally::Percentile(const std::vector<uint32_t>& micros, double share) {
  if (micros.empty()) return Duration::zero();
  std::vector<uint32_t> copy = micros;
  // Nearest rank: at least that share is not above it.
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(copy.size())));
  const auto at = copy.begin() + static_cast<std::ptrdiff_t>(std::clamp<size_t>(rank, 1, copy.size()) - 1);
  std::nth_element(copy.begin(), at, copy.end());
  return std::chrono::microseconds(*at);
}

std::string Tally::Unserved() const {
  std::string text;
  const auto add = [&text](uint64_t n, const std::string& what) {
    if (n > 0) absl::StrAppend(&text, text.empty() ? "" : ", ", n, " x ", what);
  };
  for (size_t i = 0; i < statuses.size(); ++i) add(statuses[i], absl::StrCat(i));
  for (size_t i = 0; i < failures.size(); ++i)
    add(failures[i], std::string(ToString(static_cast<server::FailureCode>(i))));
  return text.empty() ? "none" : text;
}

uint64_t Tally::Digest() const {
  Hash hash;
  for (uint64_t n : {offered, ended, succeeded, attempts}) hash.Add(n);
  for (uint64_t n : statuses) hash.Add(n);
  for (uint64_t n : failures) hash.Add(n);
  for (uint32_t n : latencies_) hash.Add(n);
  for (uint32_t n : waits_) hash.Add(n);
  return hash.value();
}

Second& Timeline::At(Instant now) {
  const auto second = static_cast<size_t>((now - begin_) / std::chrono::seconds(1));
  if (second >= seconds_.size()) seconds_.resize(second + 1);
  return seconds_[second];
}

std::string Timeline::Table(size_t from, size_t to, size_t step) const {
  std::string text = "    second   offered   reached  succeeded    failed   refused\n";
  for (size_t i = from; i < std::min(to, seconds_.size()); i += step) {
    const Second s = Sum(i, std::min({i + step, to, seconds_.size()}));
    absl::StrAppendFormat(&text, "    %6d  %8d  %8d   %8d  %8d  %8d\n", i, s.offered, s.reached, s.succeeded, s.failed,
                          s.refused);
  }
  return text;
}

Second Timeline::Sum(size_t from, size_t to) const {
  Second sum;
  for (size_t i = from; i < std::min(to, seconds_.size()); ++i) {
    sum.offered += seconds_[i].offered;
    sum.reached += seconds_[i].reached;
    sum.succeeded += seconds_[i].succeeded;
    sum.failed += seconds_[i].failed;
    sum.refused += seconds_[i].refused;
  }
  return sum;
}

uint64_t Timeline::Digest() const {
  Hash hash;
  for (const Second& s : seconds_)
    for (uint32_t n : {s.offered, s.reached, s.succeeded, s.failed, s.refused}) hash.Add(n);
  return hash.value();
}

size_t Arrivals::Count(Instant from, Instant to) const {
  const auto first = std::lower_bound(instants_.begin(), instants_.end(), from);
  return static_cast<size_t>(std::lower_bound(first, instants_.end(), to) - first);
}

size_t Arrivals::Peak(Instant from, Instant to, Duration span) const {
  const auto first = std::lower_bound(instants_.begin(), instants_.end(), from);
  std::ptrdiff_t most = 0;
  auto end = first;
  for (auto begin = first; begin != instants_.end() && *begin < to; ++begin) {
    while (end != instants_.end() && *end < *begin + span) ++end;
    most = std::max(most, end - begin);
  }
  return static_cast<size_t>(most);
}

}  // namespace fetchd::simulation
