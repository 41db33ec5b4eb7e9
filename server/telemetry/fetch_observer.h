// Who hears of each fetch that ended.
#pragma once

#include "telemetry/records.h"

namespace fetchd::server {

// Told by fetch/ of each fetch, on the owner thread of its origin, after the outcome was handed to the caller. Called
// from many threads at once. It is on the hot path: an implementation must not block and must not keep the views of
// the record. Outlives the engine.
class FetchObserver {
 public:
  virtual ~FetchObserver() = default;
  virtual void OnFetch(const FetchRecord& record) = 0;
};

}  // namespace fetchd::server
