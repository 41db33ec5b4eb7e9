#include "rpc/status_table.h"

#include <cstddef>
#include <string_view>

#include "base/text.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace fetchd::server {
namespace {

// Of the 8 KiB for all trailing metadata; base64 adds a third to the details.
constexpr size_t kMaxViolationBytes = 2048;
constexpr size_t kMaxMessageBytes = 1024;
constexpr size_t kMaxDescriptionBytes = 512;

google::rpc::ErrorInfo Reason(std::string_view reason) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(reason));
  info.set_domain("fetchd");
  return info;
}

google::rpc::RetryInfo RetryAfter(Duration delay) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(delay);
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds.count());
  info.mutable_retry_delay()->set_nanos(static_cast<int32_t>((delay - seconds).count()));
  return info;
}

// How many violations fit; at least one.
size_t Fitting(const std::vector<FieldViolation>& violations, size_t limit) {
  size_t bytes = 0;
  size_t n = 0;
  for (const FieldViolation& v : violations) {
    bytes += v.field.size() + std::min(v.description.size(), kMaxDescriptionBytes) + 8;
    if (n > 0 && bytes > limit) break;
    ++n;
  }
  return n;
}

template <typename... Details>
grpc::Status Make(grpc::StatusCode code, const std::string& message, const Details&... details) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  (status.add_details()->PackFrom(details), ...);
  return {code, message, status.SerializeAsString()};
}

grpc::Status Map(const InvalidRequest& refusal) {
  google::rpc::BadRequest bad;
  const size_t named = Fitting(refusal.violations, kMaxViolationBytes);
  for (size_t i = 0; i < named; ++i) {
    auto* violation = bad.add_field_violations();
    violation->set_field(refusal.violations[i].field);
    violation->set_description(refusal.violations[i].description.substr(0, kMaxDescriptionBytes));
  }
  return Make(grpc::StatusCode::INVALID_ARGUMENT, Describe(refusal.violations), bad, Reason("INVALID_REQUEST"));
}

grpc::Status Map(const UrlForbidden& refusal) {
  google::rpc::ErrorInfo info = Reason("URL_FORBIDDEN");
  (*info.mutable_metadata())["field"] = refusal.violation.field;
  return Make(grpc::StatusCode::PERMISSION_DENIED, Describe({refusal.violation}), info);
}

grpc::Status Map(const Overloaded& refusal) {
  return Make(grpc::StatusCode::UNAVAILABLE, refusal.description, Reason("OVERLOADED"),
              RetryAfter(refusal.retry_after));
}

grpc::Status Map(const QuotaExceeded& refusal) {
  google::rpc::QuotaFailure quota;
  auto* violation = quota.add_violations();
  violation->set_subject(refusal.caller.substr(0, kMaxDescriptionBytes));
  violation->set_description(refusal.description.substr(0, kMaxDescriptionBytes));
  return Make(grpc::StatusCode::RESOURCE_EXHAUSTED, refusal.description.substr(0, kMaxMessageBytes), quota,
              Reason("QUOTA_EXCEEDED"), RetryAfter(refusal.retry_after));
}

grpc::Status Map(const Draining& refusal) {
  return Make(grpc::StatusCode::UNAVAILABLE, "fetchd is shutting down", Reason("DRAINING"),
              RetryAfter(refusal.retry_after));
}

grpc::Status Map(const CallerCancelled&) { return {grpc::StatusCode::CANCELLED, "cancelled by the caller"}; }

grpc::Status Map(const Broken& refusal) {
  google::rpc::ErrorInfo info = Reason("INTERNAL");
  (*info.mutable_metadata())["fetch_id"] = refusal.fetch_id;
  return Make(grpc::StatusCode::INTERNAL,
              Concat("fetchd failed on fetch ", refusal.fetch_id, ": ", refusal.detail.substr(0, kMaxDescriptionBytes)),
              info);
}

}  // namespace

grpc::Status ToStatus(const Refusal& refusal) {
  return std::visit([](const auto& r) { return Map(r); }, refusal);
}

std::string Describe(const std::vector<FieldViolation>& violations) {
  std::string text;
  const size_t named = Fitting(violations, kMaxMessageBytes);
  for (size_t i = 0; i < named; ++i)
    text +=
        Concat(i > 0 ? "; " : "", violations[i].field, ": ", violations[i].description.substr(0, kMaxDescriptionBytes));
  if (named < violations.size()) text += Concat("; and ", violations.size() - named, " more");
  return text;
}

}  // namespace fetchd::server
