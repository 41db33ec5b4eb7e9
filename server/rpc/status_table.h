// Why fetchd has no verdict on a fetch, and how gRPC says so.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"

namespace fetchd::server {

// One bad field of a request.
struct FieldViolation {
  // Path of the field in the request message, such as "requests[3].url".
  std::string field;
  // What is wrong with it, for people. Holds nothing of the value that could be a secret.
  std::string description;
};

// The request is malformed.
struct InvalidRequest {
  std::vector<FieldViolation> violations;
};
// The URL itself names a forbidden address, port or scheme.
struct UrlForbidden {
  FieldViolation violation;
};
// Too much in progress.
struct Overloaded {
  std::string description;
  Duration retry_after = std::chrono::seconds(1);
};
// This caller has too much in progress, others may go on.
struct QuotaExceeded {
  std::string caller;
  std::string description;
  Duration retry_after = std::chrono::seconds(1);
};
// Shutting down: another replica will do.
struct Draining {
  Duration retry_after = std::chrono::seconds(1);
};
// The caller, or the end of its connection, cancelled.
struct CallerCancelled {};
// A bug of ours.
struct Broken {
  std::string fetch_id;
  std::string detail;
};
using Refusal =
    std::variant<InvalidRequest, UrlForbidden, Overloaded, QuotaExceeded, Draining, CallerCancelled, Broken>;

// The one table from refusals to gRPC statuses. Details are a serialised google.rpc.Status (grpc-status-details-bin),
// kept to a part of the 8 KiB that gRPC allows for metadata: of very many violations the first ones are named and the
// rest are counted.
grpc::Status ToStatus(const Refusal& refusal);

// "field: description; ..." as in the status message; for the result of a batch's item.
std::string Describe(const std::vector<FieldViolation>& violations);

}  // namespace fetchd::server
