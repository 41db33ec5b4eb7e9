#include "fetchd/retry.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace fetchd {
namespace {

// A google.protobuf.Duration as JSON wants it.
std::string JsonDuration(absl::Duration duration) {
  return absl::StrFormat("%.9fs", absl::ToDoubleSeconds(std::max(duration, absl::Nanoseconds(1))));
}

}  // namespace

bool IsIdempotent(const v1::FetchRequest& request) {
  constexpr std::array<std::string_view, 8> kIdempotent = {"GET",     "HEAD",  "PUT",   "DELETE",
                                                           "OPTIONS", "TRACE", "QUERY", "PROPFIND"};
  if (request.retry().idempotent()) return true;
  // Without a method a request is a GET, or a POST if it has a body that says what it is.
  const bool is_post = !request.form().empty() || request.has_json() || request.has_multipart();
  if (request.method().empty() && !is_post) return true;
  if (std::find(kIdempotent.begin(), kIdempotent.end(), request.method()) != kIdempotent.end()) return true;
  return std::any_of(request.headers().begin(), request.headers().end(),
                     [](const v1::Header& header) { return absl::EqualsIgnoreCase(header.name(), "idempotency-key"); });
}

std::string RetryServiceConfig(const RetryOptions& options) {
  if (options.max_attempts <= 1) return "{}";
  // The throttle keeps clients of an ill fetchd from multiplying its load: when half of the tokens are lost to
  // failures, retries pause until successes have earned them back.
  return absl::StrCat(
      R"({"methodConfig":[{"name":[{"service":"fetchd.v1.FetchService"}],"retryPolicy":{"maxAttempts":)",
      std::min(options.max_attempts, 5u), R"(,"initialBackoff":")", JsonDuration(options.initial_backoff),
      R"(","maxBackoff":")", JsonDuration(options.max_backoff),
      R"(","backoffMultiplier":2,"retryableStatusCodes":["UNAVAILABLE"]}}],)",
      R"("retryThrottling":{"maxTokens":20,"tokenRatio":0.1}})");
}

}  // namespace fetchd
