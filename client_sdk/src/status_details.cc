#include "fetchd/status_details.h"

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc_status.h"

namespace fetchd {
namespace {

constexpr char kTypeUrlPrefix[] = "type.googleapis.com/";

template <typename Message>
std::optional<Message> Payload(const absl::Status& status) {
  const absl::optional<absl::Cord> bytes =
      status.GetPayload(absl::StrCat(kTypeUrlPrefix, Message::descriptor()->full_name()));
  Message message;
  if (!bytes.has_value() || !message.ParseFromString(std::string(*bytes))) return std::nullopt;
  return message;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // The numbers of absl's and gRPC's codes are the same.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

StatusDetails DetailsOf(const absl::Status& status) {
  StatusDetails details;
  if (const auto info = Payload<google::rpc::ErrorInfo>(status)) {
    details.reason = info->reason();
    details.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (const auto bad = Payload<google::rpc::BadRequest>(status)) {
    for (const auto& violation : bad->field_violations()) {
      details.fields.push_back({violation.field(), violation.description()});
    }
  }
  if (const auto quota = Payload<google::rpc::QuotaFailure>(status)) {
    for (const auto& violation : quota->violations()) {
      details.quotas.push_back({violation.subject(), violation.description()});
    }
  }
  if (const auto retry = Payload<google::rpc::RetryInfo>(status); retry.has_value() && retry->has_retry_delay()) {
    details.retry_delay =
        absl::Seconds(retry->retry_delay().seconds()) + absl::Nanoseconds(retry->retry_delay().nanos());
  }
  return details;
}

std::string Describe(const absl::Status& status) {
  if (status.ok()) return "OK";
  const StatusDetails details = DetailsOf(status);
  std::string text = absl::StatusCodeToString(status.code());
  if (!details.reason.empty()) absl::StrAppend(&text, " (", details.reason, ")");
  if (!status.message().empty()) absl::StrAppend(&text, ": ", status.message());
  for (const auto* violations : {&details.fields, &details.quotas}) {
    for (const StatusDetails::Violation& violation : *violations) {
      absl::StrAppend(&text, "; ", violation.subject, ": ", violation.description);
    }
  }
  for (const auto& [key, value] : details.metadata) absl::StrAppend(&text, "; ", key, "=", value);
  if (details.retry_delay.has_value()) {
    absl::StrAppend(&text, "; try again in ", absl::FormatDuration(*details.retry_delay));
  }
  return text;
}

}  // namespace fetchd
