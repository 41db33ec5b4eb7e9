#include "rpc/caller_identity.h"

#include <grpcpp/security/auth_context.h>

#include <memory>
#include <utility>

#include "rpc/field_rules.h"

namespace fetchd::server {

std::variant<std::string, Refusal> CallerOf(const grpc::ServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto named = metadata.find(grpc::string_ref(kCallerKey.data(), kCallerKey.size()));
  if (named != metadata.end()) {
    const std::string_view name(named->second.data(), named->second.size());
    if (const char* wrong = CheckCaller(name)) return InvalidRequest{{{"metadata." + std::string(kCallerKey), wrong}}};
    return std::string(name);
  }
  if (const auto auth = context.auth_context(); auth != nullptr && auth->IsPeerAuthenticated()) {
    const auto identity = auth->GetPeerIdentity();
    if (!identity.empty() && !identity.front().empty())
      return std::string(identity.front().data(), identity.front().size());
  }
  return PeerAddress(context.peer());
}

std::string PeerAddress(std::string_view peer) {
  if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return std::string(peer);
  std::string address(peer.substr(5, peer.rfind(':') - 5));
  for (const auto& [from, to] : {std::pair("%5B", ""), {"%5D", ""}, {"%25", "%"}, {"[", ""}, {"]", ""}}) {
    const size_t at = address.find(from);
    if (at != std::string::npos) address.replace(at, std::string_view(from).size(), to);
  }
  return address;
}

}  // namespace fetchd::server
