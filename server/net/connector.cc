#include "net/connector.h"

namespace fetchd::server {

Task<ResolveResult> Connector::Resolve(std::string, CancelScope&) {
  ResolveResult result;
  result.failure = Failure{.code = FailureCode::kDnsError,
                           .phase = Phase::kDns,
                           .processed = Processed::kNo,
                           .detail = "names are not resolved here"};
  co_return result;
}

}  // namespace fetchd::server
