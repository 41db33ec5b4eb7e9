#include "policy/redirect.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "base/text.h"

namespace fetchd::server {
namespace {

bool IsRedirectStatus(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

RedirectDecision Refuse(FailureCode code, Phase phase, std::string detail, Url url = {}) {
  RedirectDecision decision;
  decision.verdict = RedirectVerdict::kRefuse;
  decision.url = std::move(url);
  decision.failure = {.code = code, .phase = phase, .processed = Processed::kYes, .detail = std::move(detail)};
  return decision;
}

// https://fetch.spec.whatwg.org/#http-redirect-fetch, step 12.
bool DropsBody(int status, std::string_view method) {
  if (status == 303) return true;
  return (status == 301 || status == 302) && method == "POST";
}

// Says something about a body (RFC 9110 section 15.4).
bool IsAboutBody(std::string_view name) {
  return name.starts_with("content-") || name == "digest" || name == "repr-digest" || name == "last-modified";
}

bool IsForOneOrigin(const HeaderView& field) { return field.sensitive || field.name.starts_with("proxy-"); }

}  // namespace

RedirectDecision DecideRedirect(const RedirectQuestion& question) {
  const FetchSpec& spec = question.spec;
  const int status = question.head.status;
  if (question.options.mode == RedirectMode::kNone || !IsRedirectStatus(status)) return {};
  std::optional<std::string_view> location;
  for (const HeaderView field : question.head.headers) {
    if (field.name != "location") continue;
    // Whoever else reads this response may go to the other one.
    if (location && *location != field.value)
      return Refuse(FailureCode::kRedirectInvalid, Phase::kReceive, "the redirect has two locations");
    location = field.value;
  }
  if (!location) return {};

  absl::StatusOr<Url> url = spec.url.Resolve(*location);
  if (absl::IsPermissionDenied(url.status()))
    return Refuse(FailureCode::kHttpRequestDenied, Phase::kPolicy,
                  Concat("the redirect is forbidden: ", std::string(url.status().message())));
  if (!url.ok())
    return Refuse(FailureCode::kRedirectInvalid, Phase::kReceive,
                  Concat("the location of the redirect: ", std::string(url.status().message())));
  if (question.options.mode == RedirectMode::kSameOrigin && url->origin() != spec.url.origin())
    return Refuse(FailureCode::kRedirectOriginProhibited, Phase::kPolicy,
                  Concat("the redirect leads to another origin, ", url->origin().ToString()), *url);
  if (spec.url.scheme() == Scheme::kHttps && url->scheme() == Scheme::kHttp)
    return Refuse(FailureCode::kRedirectInsecure, Phase::kPolicy,
                  Concat("the redirect leads from https to http, ", url->origin().ToString()), *url);

  RedirectDecision decision;
  decision.url = *std::move(url);
  decision.drops_body = DropsBody(status, spec.method);
  if (question.streamed_body && !decision.drops_body) {
    decision.verdict = RedirectVerdict::kReturn;
    return decision;
  }
  if (question.followed >= question.options.max_redirects)
    return Refuse(FailureCode::kRedirectLimit, Phase::kPolicy,
                  Concat("more than ", question.options.max_redirects, " redirects"), std::move(decision.url));
  decision.verdict = RedirectVerdict::kFollow;
  return decision;
}

void FollowRedirect(RedirectDecision&& decision, FetchSpec& spec) {
  const bool other_origin = decision.url.origin() != spec.url.origin();
  if (decision.drops_body) {
    if (spec.method != "HEAD") spec.method = "GET";
    spec.body.clear();
  }
  if (decision.drops_body || other_origin) {
    Headers kept;
    kept.Reserve(spec.headers.size(), spec.headers.bytes());
    for (const HeaderView field : spec.headers) {
      if (decision.drops_body && IsAboutBody(field.name)) continue;
      if (other_origin && IsForOneOrigin(field)) continue;
      kept.Add(field.name, field.value, field.sensitive);
    }
    spec.headers = std::move(kept);
  }
  spec.url = std::move(decision.url);
}

}  // namespace fetchd::server
