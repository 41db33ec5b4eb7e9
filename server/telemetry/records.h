// What is known of a fetch and of each of its attempts when they end. Filled by the rooms that do the work, read by
// metrics and the access log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "model/failure.h"
#include "model/headers.h"
#include "model/phase_times.h"

namespace fetchd::server {

// One attempt.
struct AttemptRecord {
  PhaseTimes phases;
  // Unset on a complete response.
  std::optional<FailureCode> failure;
  Phase failure_phase = Phase::kPolicy;
  // 0 if no response began.
  int status = 0;
  bool reused_connection = false;
  bool http2 = false;
};

// One fetch.
struct FetchRecord {
  std::string_view id;
  std::string_view caller;
  std::string_view rpc;  // "Fetch", "FetchBatch", ...
  std::string_view method;
  std::string_view url;  // redacted: Url::Redacted()
  int status = 0;        // 0 if no response began
  std::optional<FailureCode> failure;
  Phase failure_phase = Phase::kPolicy;
  std::string_view detail;  // the failure's, for people
  int attempts = 0;
  int redirects = 0;  // followed
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
  Duration duration{};
  // The request's fields for the access log, which prints those it was told to and hides the sensitive ones; null if
  // there are none.
  const Headers* request_headers = nullptr;
};

}  // namespace fetchd::server
