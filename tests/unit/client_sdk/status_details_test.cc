#include "fetchd/status_details.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace fetchd {
namespace {

template <typename Message>
void Attach(absl::Status& status, const Message& message) {
  status.SetPayload("type.googleapis.com/" + Message::descriptor()->full_name(),
                    absl::Cord(message.SerializeAsString()));
}

TEST(Describe, OkIsOk) { EXPECT_EQ(Describe(absl::OkStatus()), "OK"); }

TEST(Describe, WithoutDetailsIsCodeAndMessage) {
  EXPECT_EQ(Describe(absl::UnavailableError("no route")), "UNAVAILABLE: no route");
  EXPECT_EQ(Describe(absl::UnavailableError("")), "UNAVAILABLE");
}

TEST(Describe, NamesFieldsOfABadRequest) {
  absl::Status status = absl::InvalidArgumentError("malformed request");
  google::rpc::ErrorInfo info;
  info.set_reason("INVALID_REQUEST");
  Attach(status, info);
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("requests[3].url");
  bad.mutable_field_violations(0)->set_description("has no host");
  Attach(status, bad);
  EXPECT_EQ(Describe(status), "INVALID_ARGUMENT (INVALID_REQUEST): malformed request; requests[3].url: has no host");

  const StatusDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "INVALID_REQUEST");
  ASSERT_EQ(details.fields.size(), 1u);
  EXPECT_EQ(details.fields[0].subject, "requests[3].url");
  EXPECT_EQ(details.retry_delay, std::nullopt);
}

TEST(Describe, SaysWhenToComeBackAndWhichQuota) {
  absl::Status status = absl::ResourceExhaustedError("quota");
  google::rpc::QuotaFailure quota;
  quota.add_violations()->set_subject("caller:billing");
  quota.mutable_violations(0)->set_description("100 in flight");
  Attach(status, quota);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  Attach(status, retry);
  EXPECT_EQ(Describe(status), "RESOURCE_EXHAUSTED: quota; caller:billing: 100 in flight; try again in 2.5s");
  EXPECT_EQ(DetailsOf(status).retry_delay, absl::Milliseconds(2500));
}

TEST(Describe, GivesMetadata) {
  absl::Status status = absl::InternalError("bug");
  google::rpc::ErrorInfo info;
  (*info.mutable_metadata())["fetch_id"] = "f-1";
  Attach(status, info);
  EXPECT_EQ(Describe(status), "INTERNAL: bug; fetch_id=f-1");
}

TEST(DetailsOf, IgnoresDetailsThatCannotBeRead) {
  absl::Status status = absl::InternalError("bug");
  status.SetPayload("type.googleapis.com/google.rpc.ErrorInfo", absl::Cord("\xff\xff"));
  EXPECT_EQ(DetailsOf(status).reason, "");
}

}  // namespace
}  // namespace fetchd
