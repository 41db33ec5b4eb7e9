#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace fetchd {

// What fetchd attached to a status that is not OK (google.rpc.Status on the wire). Each absl::Status of this SDK
// carries the messages themselves too, as payloads named by their type URL.
struct StatusDetails {
  // One complaint: about a field of the request, such as "requests[3].url", or about a quota's subject.
  struct Violation {
    std::string subject;
    std::string description;
  };

  // ErrorInfo.reason, such as "INVALID_REQUEST", "URL_FORBIDDEN", "OVERLOADED", "DRAINING". Empty if not given.
  std::string reason;
  // ErrorInfo.metadata, such as the fetch_id of an INTERNAL error.
  std::map<std::string, std::string> metadata;
  // BadRequest.field_violations.
  std::vector<Violation> fields;
  // QuotaFailure.violations.
  std::vector<Violation> quotas;
  // RetryInfo.retry_delay: do not call again before this.
  std::optional<absl::Duration> retry_delay;
};

// Empty details for a status without any.
StatusDetails DetailsOf(const absl::Status& status);

// One line for people: code, reason, message, and each detail. "OK" for OK.
//   INVALID_ARGUMENT (INVALID_REQUEST): bad request; url: has no host
std::string Describe(const absl::Status& status);

}  // namespace fetchd
