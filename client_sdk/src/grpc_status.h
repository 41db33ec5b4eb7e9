#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace fetchd {

// `status` with its google.rpc details as payloads, for DetailsOf.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace fetchd
