#pragma once

#include <string>

#include "fetchd/v1/fetch.pb.h"
#include "google/protobuf/duration.pb.h"

namespace fetchd::fetchctl {

// "1.5 s", "12.3 ms", "45 us": three digits that count.
std::string Text(const google::protobuf::Duration& duration);

// "CIRCUIT_OPEN in policy"; the code alone without a phase.
std::string Summary(v1::ErrorCode code, v1::Phase phase);

// A line for each attempt and decision, in the order of time:
//
//   *      12.3 ms  attempt 1: HTTP 503 from 192.0.2.7:443 in 12.3 ms (reused connection; wait 11 ms, receive 1.3 ms)
//   *      12.3 ms  attempt 1: retry: retry, after 0.05 s
std::string Text(const v1::Trace& trace);

}  // namespace fetchd::fetchctl
