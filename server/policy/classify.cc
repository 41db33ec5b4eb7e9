#include "policy/classify.h"

namespace fetchd::server {

Classification ClassifyStatus(int status, const StatusSet& retryable) {
  return retryable.Has(status) ? Classification::kRetryable : Classification::kSuccess;
}

Classification ClassifyFailure(const Failure& failure) {
  return IsTransient(failure.code) ? Classification::kRetryable : Classification::kPermanent;
}

bool IsOwnRefusal(FailureCode code) {
  return code == FailureCode::kCircuitOpen || code == FailureCode::kRateLimited || code == FailureCode::kQueueTimeout ||
         code == FailureCode::kConnectionLimitReached;
}

bool IsIdempotentMethod(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" || method == "OPTIONS" ||
         method == "TRACE" || method == "QUERY" || method == "PROPFIND";
}

bool IsIdempotent(std::string_view method, const Headers& headers, bool callers_word) {
  return callers_word || IsIdempotentMethod(method) || headers.Has("idempotency-key");
}

}  // namespace fetchd::server
