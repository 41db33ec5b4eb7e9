// How long a loop looks for work before it sleeps.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace fetchd::server {

// Not at all after a sleep that was long, twice as long as last time after one so short that looking would have saved
// it. So a thread with little to do does not burn a core, and one that is asked again within microseconds does not
// sleep in between. A thread that works most of the time looks only for about as long as a sleep costs: what comes
// while it sleeps is then worked off together.
class Spin {
 public:
  static constexpr Duration kShort = std::chrono::microseconds(20);
  static constexpr Duration kLongest = std::chrono::microseconds(160);

  // With one core, those we would wait for could not run meanwhile: never.
  explicit Spin(unsigned cores) : longest_(cores > 1 ? kLongest : Duration(0)) {}

  // How long to go on looking in an idle stretch. Not at all while bulk is read: what comes during a sleep is taken at
  // one go, and who waits for megabytes does not wait for microseconds.
  Duration budget() const {
    if (bulk_) return Duration(0);
    return worked_ > idled_ ? std::min(budget_, kShort) : budget_;
  }

  // Whether the last read of a socket was a large one.
  void SetBulk(bool bulk) { bulk_ = bulk; }

  // There was work for so long before there was none, or none before there was.
  void OnWorked(Duration d) { Average(worked_, d); }
  void OnIdled(Duration d) { Average(idled_, d); }
  // The last idle stretch, of `d`, ended in a sleep.
  void OnSlept(Duration d) {
    budget_ = d > longest_ ? Duration(0) : std::clamp(2 * budget_, std::min(kShort, longest_), longest_);
  }

 private:
  static void Average(Duration& average, Duration d) {
    // One long stretch must not outweigh all that follows.
    average += (std::min<Duration>(d, std::chrono::milliseconds(1)) - average) / 8;
  }

  Duration longest_;
  Duration budget_{0};
  Duration worked_{0}, idled_{0};
  bool bulk_ = false;
};

}  // namespace fetchd::server
