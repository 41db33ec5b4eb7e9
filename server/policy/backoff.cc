#include "policy/backoff.h"

#include <algorithm>

namespace fetchd::server {

Duration BackoffCeiling(int retry, Duration initial, Duration max) {
  Duration ceiling = std::min(initial, max);
  for (int i = 1; i < retry && ceiling < max; ++i) ceiling = ceiling > max / 2 ? max : ceiling * 2;
  return std::max(ceiling, Duration::zero());
}

Duration FullJitterBackoff(int retry, Duration initial, Duration max, Random& random) {
  Duration ceiling = BackoffCeiling(retry, initial, max);
  return Duration(static_cast<Duration::rep>(random.NextDouble() * static_cast<double>(ceiling.count())));
}

}  // namespace fetchd::server
