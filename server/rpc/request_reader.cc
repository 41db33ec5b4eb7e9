#include "rpc/request_reader.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "http/multipart_body.h"
#include "model/redirect.h"
#include "policy/proxy_choice.h"
#include "rpc/field_rules.h"
#include "rpc/violations.h"

namespace fetchd::server {
namespace {

constexpr Duration kMaxExpectContinue = std::chrono::seconds(10);
constexpr size_t kMaxHeaders = 256;
constexpr size_t kMaxHeaderBytes = 64 * 1024;
constexpr uint32_t kMaxAttempts = 10;
constexpr int kMaxRetryStatuses = 32;
constexpr uint32_t kMaxRedirects = 20;

std::string HeaderPath(int index, std::string_view part) { return Concat("headers[", index, "].", part); }

const PolicySource& ShippedPolicies() {
  // Never destroyed, as some thread may still read a request when the process ends.
  static const PolicySource& shipped = *new PolicySource;
  return shipped;
}

std::optional<Priority> ToPriority(v1::Priority priority) {
  switch (priority) {
    case v1::PRIORITY_INTERACTIVE:
      return Priority::kInteractive;
    case v1::PRIORITY_NORMAL:
      return Priority::kNormal;
    case v1::PRIORITY_BULK:
      return Priority::kBulk;
    default:
      return std::nullopt;
  }
}

}  // namespace

Instant AnswerBy(Instant now, Instant rpc_deadline) {
  if (rpc_deadline == kNever) return kNever;
  const Duration left = std::max(rpc_deadline - now, Duration::zero());
  return rpc_deadline - std::min<Duration>(std::chrono::milliseconds(50), left / 20);
}

RequestReader::RequestReader(ReaderOptions options, const FetchStarter& starter, FetchIds& ids)
    : options_(options),
      policies_(options.policies != nullptr ? *options.policies : ShippedPolicies()),
      starter_(starter),
      ids_(ids) {}

void RequestReader::ReadTimeouts(const v1::Timeouts& t, const Timeouts& caps, std::string_view prefix,
                                 Violations& violations, Timeouts& result) {
  const auto read = [&](bool set, const google::protobuf::Duration& value, std::string_view name, Duration cap,
                        Duration& into) {
    if (!set) return;
    Duration d{};
    if (const char* wrong = ReadDuration(value, d)) return violations.Add(prefix, Concat("timeouts.", name), wrong);
    if (d > Duration::zero()) into = std::min(d, cap);
  };
  read(t.has_total(), t.total(), "total", caps.total, result.total);
  read(t.has_attempt(), t.attempt(), "attempt", caps.attempt, result.attempt);
  read(t.has_queue(), t.queue(), "queue", caps.queue, result.queue);
  read(t.has_dns(), t.dns(), "dns", caps.dns, result.dns);
  read(t.has_connect(), t.connect(), "connect", caps.connect, result.connect);
  read(t.has_tls(), t.tls(), "tls", caps.tls, result.tls);
  read(t.has_send_idle(), t.send_idle(), "send_idle", caps.send_idle, result.send_idle);
  read(t.has_first_byte(), t.first_byte(), "first_byte", caps.first_byte, result.first_byte);
  read(t.has_between_bytes(), t.between_bytes(), "between_bytes", caps.between_bytes, result.between_bytes);
  result.min_bytes_per_second = t.min_bytes_per_second();
}

void RequestReader::ReadRetry(const v1::RetryPolicy& retry, std::string_view prefix, Violations& violations,
                              RetryOptions& result) {
  if (retry.max_attempts() > kMaxAttempts) {
    violations.Add(prefix, "retry.max_attempts", "must be at most 10");
  } else if (retry.max_attempts() > 0) {
    result.max_attempts = static_cast<int>(retry.max_attempts());
  }
  if (retry.has_initial_backoff()) {
    if (const char* wrong = ReadDuration(retry.initial_backoff(), result.initial_backoff))
      violations.Add(prefix, "retry.initial_backoff", wrong);
  }
  if (retry.has_max_backoff()) {
    if (const char* wrong = ReadDuration(retry.max_backoff(), result.max_backoff))
      violations.Add(prefix, "retry.max_backoff", wrong);
  }
  result.idempotent = retry.idempotent();
  if (retry.has_resume()) result.resume = retry.resume();
  switch (retry.jitter()) {
    case v1::RetryPolicy::JITTER_UNSPECIFIED:
      break;
    case v1::RetryPolicy::JITTER_NONE:
      result.jitter = Jitter::kNone;
      break;
    case v1::RetryPolicy::JITTER_FULL:
      result.jitter = Jitter::kFull;
      break;
    case v1::RetryPolicy::JITTER_EQUAL:
      result.jitter = Jitter::kEqual;
      break;
    case v1::RetryPolicy::JITTER_DECORRELATED:
      result.jitter = Jitter::kDecorrelated;
      break;
    default:
      violations.Add(prefix, "retry.jitter", "is not a known value");
  }
  if (retry.retry_statuses().empty()) return;
  if (retry.retry_statuses_size() > kMaxRetryStatuses)
    return violations.Add(prefix, "retry.retry_statuses", "has more than 32 items");
  result.statuses = StatusSet();
  for (const uint32_t status : retry.retry_statuses()) {
    if (status < StatusSet::kFirst || status > StatusSet::kLast)
      return violations.Add(prefix, "retry.retry_statuses", Concat("has ", status, ", not a status from 400 to 599"));
    result.statuses.Add(static_cast<int>(status));
  }
}

void RequestReader::ReadPolicies(const v1::FetchRequest& request, Shape shape, std::string_view prefix,
                                 Violations& violations, FetchSpec& spec) const {
  const PolicyBook& book = policies_.Current();
  const CallPolicy* policy = book.ForCall(spec.url.origin(), request.profile());
  if (policy == nullptr) {
    violations.Add(prefix, "profile", "is not the name of a profile of this server");
    policy = book.ForCall(spec.url.origin(), "");
  }
  spec.timeouts = policy->timeouts;
  if (shape == Shape::kStreamed) spec.timeouts.total = spec.timeouts.attempt = kForever;
  if (request.has_timeouts()) ReadTimeouts(request.timeouts(), book.timeout_caps(), prefix, violations, spec.timeouts);
  spec.retry = policy->retry;
  if (request.has_retry()) ReadRetry(request.retry(), prefix, violations, spec.retry);
  spec.hedge = policy->hedge;
  if (request.has_hedge()) {
    if (request.hedge().has_enabled()) spec.hedge.enabled = request.hedge().enabled();
    if (request.hedge().has_delay()) {
      if (const char* wrong = ReadDuration(request.hedge().delay(), spec.hedge.delay))
        violations.Add(prefix, "hedge.delay", wrong);
    }
  }
  if (request.has_expect_continue()) {
    if (const char* wrong = ReadDuration(request.expect_continue(), spec.expect_continue))
      violations.Add(prefix, "expect_continue", wrong);
    else if (spec.expect_continue > kMaxExpectContinue)
      violations.Add(prefix, "expect_continue", "is longer than 10 s");
  }
  spec.priority = policy->priority;
  if (request.priority() != v1::PRIORITY_UNSPECIFIED) {
    if (const std::optional<Priority> asked = ToPriority(request.priority())) {
      spec.priority = *asked;
    } else {
      violations.Add(prefix, "priority", "is not a known value");
    }
  }
  spec.weight = book.WeightOf(spec.caller);
  // Without an URL there is a violation already.
  if ((request.has_transport() || policy->proxy.proxy != ProxyPolicy::kDirect) && !spec.url.text().empty())
    ReadRoute(request, book, *policy, prefix, violations, spec);
}

void RequestReader::ReadRoute(const v1::FetchRequest& request, const PolicyBook& book, const CallPolicy& policy,
                              std::string_view prefix, Violations& violations, FetchSpec& spec) const {
  const std::string& wanted = request.transport().proxy();
  if (!wanted.empty()) spec.wanted_proxy = std::make_shared<const std::string>(wanted);
  ProxyChoice choice = ChooseProxy(book, policy.proxy, spec.url, spec.wanted_proxy.get());
  if (choice.refusal != nullptr) violations.Add(prefix, "transport.proxy", choice.refusal);
  spec.route.proxy = std::move(choice.proxy);
}

void RequestReader::ReadTransport(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                                  FetchSpec& spec) const {
  if (!request.has_transport()) return;
  switch (request.transport().http_version()) {
    case v1::HTTP_VERSION_UNSPECIFIED:
    case v1::HTTP_VERSION_AUTO:
      break;
    case v1::HTTP_VERSION_HTTP_1_1:
      spec.route.version = HttpVersion::kHttp1;
      break;
    case v1::HTTP_VERSION_HTTP_2:
      spec.route.version = HttpVersion::kHttp2;
      break;
    default:
      violations.Add(prefix, "transport.http_version", "is not a known value");
  }
}

BodyLimit RequestReader::ReadBodyLimit(const v1::FetchRequest& request, Shape shape, std::string_view prefix,
                                       Violations& violations) const {
  BodyLimit result;
  if (shape == Shape::kWholeBody) result.max_bytes = options_.max_unary_body_bytes;
  if (!request.has_body_policy()) return result;
  const v1::BodyPolicy& policy = request.body_policy();
  if (policy.max_bytes() > 0) result.max_bytes = std::min<uint64_t>(policy.max_bytes(), result.max_bytes);
  if (!v1::BodyPolicy::Overflow_IsValid(policy.on_overflow()))
    violations.Add(prefix, "body_policy.on_overflow", "is not a known value");
  result.truncate = policy.on_overflow() == v1::BodyPolicy::OVERFLOW_TRUNCATE;
  return result;
}

void RequestReader::ReadHops(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                             FetchSpec& spec) {
  if (!request.has_redirects() && request.session().empty()) return;
  HopOptions hops;
  if (!request.session().empty()) {
    if (const char* wrong = CheckCaller(request.session())) {
      violations.Add(prefix, "session", wrong);
    } else if (spec.headers.Has("cookie")) {
      violations.Add(prefix, "session", "cannot go with a cookie header");
    }
    hops.session = request.session();
  }
  switch (request.redirects().mode()) {
    case v1::RedirectPolicy::MODE_UNSPECIFIED:
    case v1::RedirectPolicy::MODE_NONE:
      break;
    case v1::RedirectPolicy::MODE_SAME_ORIGIN:
      hops.mode = RedirectMode::kSameOrigin;
      break;
    case v1::RedirectPolicy::MODE_FOLLOW:
      hops.mode = RedirectMode::kFollow;
      break;
    default:
      violations.Add(prefix, "redirects.mode", "is not a known value");
  }
  const uint32_t max = request.redirects().max_redirects();
  if (max > kMaxRedirects) {
    violations.Add(prefix, "redirects.max_redirects", "must be at most 20");
  } else if (max > 0) {
    hops.max_redirects = static_cast<int>(max);
  }
  if (hops.mode != RedirectMode::kNone || !hops.session.empty())
    spec.hops = std::make_shared<const HopOptions>(std::move(hops));
}

FetchSpec RequestReader::ReadSpec(v1::FetchRequest&& request, Shape shape, const RpcFacts& facts,
                                  std::string_view prefix, Violations& violations) const {
  FetchSpec spec;
  if (request.url().empty()) {
    violations.Add(prefix, "url", "is required");
  } else if (absl::StatusOr<Url> url = Url::Parse(request.url()); url.ok()) {
    const absl::Status allowed = starter_.CheckUrl(*url);
    if (!allowed.ok()) violations.Forbid(prefix, "url", std::string(allowed.message()));
    spec.url = *std::move(url);
  } else if (absl::IsPermissionDenied(url.status())) {
    violations.Forbid(prefix, "url", std::string(url.status().message()));
  } else {
    violations.Add(prefix, "url", std::string(url.status().message()));
  }

  if (!request.method().empty()) {
    if (const char* wrong = CheckMethod(request.method())) {
      violations.Add(prefix, "method", wrong);
    } else {
      spec.method = std::move(*request.mutable_method());
    }
  } else if (!request.form().empty() || request.has_json() || request.has_multipart()) {
    spec.method = "POST";
  }

  size_t bytes = 0;
  for (const v1::Header& header : request.headers()) bytes += header.name().size() + header.value().size();
  if (request.headers_size() > static_cast<int>(kMaxHeaders)) {
    violations.Add(prefix, "headers", Concat("has ", request.headers_size(), " fields, at most 256 are allowed"));
  } else if (bytes > kMaxHeaderBytes) {
    violations.Add(prefix, "headers", Concat("has ", bytes, " bytes, at most 64 KiB are allowed"));
  } else {
    spec.headers.Reserve(static_cast<size_t>(request.headers_size()), bytes);
    for (int i = 0; i < request.headers_size(); ++i) {
      const v1::Header& header = request.headers(i);
      const char* bad_name = CheckHeaderName(header.name());
      const char* bad_value = CheckHeaderValue(header.value());
      if (bad_name != nullptr) violations.Add(prefix, HeaderPath(i, "name"), bad_name);
      if (bad_value != nullptr) violations.Add(prefix, HeaderPath(i, "value"), bad_value);
      if (bad_name == nullptr && bad_value == nullptr)
        spec.headers.Add(header.name(), header.value(), header.sensitive());
    }
  }

  // Made once, so that every attempt has the same.
  if (request.retry().mint_idempotency_key() && !spec.headers.Find("idempotency-key"))
    spec.headers.Add("idempotency-key", MintIdempotencyKey());

  spec.caller = facts.caller;
  ReadPolicies(request, shape, prefix, violations, spec);
  spec.body_limit = ReadBodyLimit(request, shape, prefix, violations);
  ReadDecoding(request, prefix, violations, spec);
  if (request.has_expect() || request.has_select()) ReadContract(request, prefix, violations, spec);
  ReadTransport(request, prefix, violations, spec);
  ReadHops(request, prefix, violations, spec);
  if (!v1::Explain_IsValid(request.explain())) violations.Add(prefix, "explain", "is not a known value");
  if (request.explain() != v1::EXPLAIN_UNSPECIFIED) spec.explain = static_cast<Explain>(request.explain());
  ReadBody(request, prefix, violations, spec);
  spec.id = ids_.Next();
  spec.deadline = std::min(After(facts.now, spec.timeouts.total), facts.answer_by);
  return spec;
}

std::variant<FetchSpec, Refusal> RequestReader::ReadFetch(v1::FetchRequest&& request, const RpcFacts& facts) const {
  Violations violations;
  FetchSpec spec = ReadSpec(std::move(request), Shape::kWholeBody, facts, "", violations);
  if (violations.any()) return std::move(violations).Take();
  return spec;
}

std::variant<BatchSpec, Refusal> RequestReader::ReadBatch(const v1::FetchBatchRequest& request,
                                                          const RpcFacts& facts) const {
  Violations violations;
  const auto items = static_cast<size_t>(request.requests_size());
  if (items == 0) violations.Add("", "requests", "must have at least one item");
  if (items > options_.max_batch_items)
    violations.Add("", "requests", Concat("has ", items, " items, at most ", options_.max_batch_items, " are allowed"));
  if (!v1::FetchBatchRequest::Order_IsValid(request.order())) violations.Add("", "order", "is not a known value");
  if (!v1::FetchBatchRequest::FailureMode_IsValid(request.failure_mode()))
    violations.Add("", "failure_mode", "is not a known value");
  if (violations.any()) return std::move(violations).Take();
  BatchSpec spec;
  spec.items = items;
  spec.input_order = request.order() == v1::FetchBatchRequest::ORDER_INPUT;
  spec.fail_fast = request.failure_mode() == v1::FetchBatchRequest::FAILURE_MODE_FAIL_FAST;
  const size_t asked = request.max_concurrency() > 0 ? request.max_concurrency() : options_.batch_concurrency;
  spec.max_concurrency = std::min({asked, kMaxBatchConcurrency, items});
  spec.deadline = facts.answer_by;
  spec.priority = ToPriority(request.requests(0).priority()).value_or(Priority::kNormal);
  return spec;
}

std::variant<FetchSpec, ItemFailure> RequestReader::ReadBatchItem(v1::FetchRequest&& request, size_t index,
                                                                  const RpcFacts& facts) const {
  Violations violations;
  FetchSpec spec = ReadSpec(std::move(request), Shape::kWholeBody, facts, "", violations);
  if (!violations.any()) return spec;
  violations.PrependToPaths(Concat("requests[", index, "]."));
  ItemFailure result;
  result.fetch_id = std::move(spec.id);
  Failure& failure = result.failure;
  const Refusal refusal = std::move(violations).Take();
  if (const auto* forbidden = std::get_if<UrlForbidden>(&refusal)) {
    failure.code = FailureCode::kHttpRequestDenied;
    failure.detail = Describe({forbidden->violation});
    // The URL of a scheme that is none of ours was never parsed.
    if (!spec.url.text().empty()) result.redacted_url = spec.url.Redacted();
  } else {
    failure.code = FailureCode::kRequestInvalid;
    failure.detail = Describe(std::get<InvalidRequest>(refusal).violations);
  }
  return result;
}

std::variant<StreamSpec, Refusal> RequestReader::ReadStreamStart(v1::FetchStreamStart&& start,
                                                                 const RpcFacts& facts) const {
  constexpr std::string_view kPrefix = "start.";
  Violations violations;
  StreamSpec spec;
  spec.streams_body = start.streams_body() || start.streams_multipart();
  if (start.has_body_length()) spec.body_length = start.body_length();
  v1::FetchRequest& request = *start.mutable_request();
  const auto refuse_own_body = [&](bool set, std::string_view field) {
    if (set) violations.Add(kPrefix, Concat("request.", field), "must be empty when the body is streamed");
  };
  if (spec.streams_body) {
    refuse_own_body(!request.body().empty(), "body");
    refuse_own_body(!request.form().empty(), "form");
    refuse_own_body(request.has_json(), "json");
    refuse_own_body(request.has_multipart(), "multipart");
  }
  if (start.streams_multipart() && start.streams_body())
    violations.Add(kPrefix, "streams_multipart", "must not be set beside streams_body");
  if (start.streams_multipart() && spec.body_length)
    violations.Add(kPrefix, "body_length", "must not be set with streams_multipart");
  if (!spec.streams_body && spec.body_length) violations.Add(kPrefix, "body_length", "needs streams_body");
  if (start.streams_multipart() && request.method().empty()) request.set_method("POST");
  const std::string prefix = Concat(kPrefix, "request.");
  spec.fetch = ReadSpec(std::move(request), Shape::kStreamed, facts, prefix, violations);
  if (start.streams_multipart()) {
    spec.boundary = RandomBoundary();
    AddMultipartType(spec.boundary, prefix, violations, spec.fetch);
  }
  if (violations.any()) return std::move(violations).Take();
  return spec;
}

}  // namespace fetchd::server
