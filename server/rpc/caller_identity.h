// Who calls, for the log and for what is bound to a caller.
#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <string_view>
#include <variant>

#include "rpc/status_table.h"

namespace fetchd::server {

// The metadata key by which a caller names itself.
inline constexpr std::string_view kCallerKey = "fetchd-caller";

// The first there is of: the metadata fetchd-caller (a malformed one is refused), the name in the caller's verified
// certificate (mTLS), its address without the port.
std::variant<std::string, Refusal> CallerOf(const grpc::ServerContext& context);

// The address in a gRPC peer string: "10.1.2.3" of "ipv4:10.1.2.3:4444", "::1" of "ipv6:%5B::1%5D:4444".
std::string PeerAddress(std::string_view peer);

}  // namespace fetchd::server
