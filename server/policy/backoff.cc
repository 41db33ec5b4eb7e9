#include "policy/backoff.h"

#include <algorithm>

namespace fetchd::server {
namespace {

// Uniform in [least, most).
Duration Between(Duration least, Duration most, Random& random) {
  if (most <= least) return least;
  return least +
         Duration(static_cast<Duration::rep>(random.NextDouble() * static_cast<double>((most - least).count())));
}

}  // namespace

Duration BackoffCeiling(int retry, Duration initial, Duration max) {
  Duration ceiling = std::min(initial, max);
  for (int i = 1; i < retry && ceiling < max; ++i) ceiling = ceiling > max / 2 ? max : ceiling * 2;
  return std::max(ceiling, Duration::zero());
}

Duration DrawBackoff(int retry, Duration previous, const RetryOptions& options, Random& random) {
  if (options.jitter == Jitter::kDecorrelated) {
    const Duration least = BackoffCeiling(1, options.initial_backoff, options.max_backoff);
    previous = std::max(previous, least);
    const Duration most = previous > options.max_backoff / 3 ? options.max_backoff : previous * 3;
    return Between(least, most, random);
  }
  const Duration ceiling = BackoffCeiling(retry, options.initial_backoff, options.max_backoff);
  switch (options.jitter) {
    case Jitter::kNone:
      return ceiling;
    case Jitter::kEqual:
      return Between(ceiling / 2, ceiling, random);
    default:
      return Between(Duration::zero(), ceiling, random);
  }
}

}  // namespace fetchd::server
