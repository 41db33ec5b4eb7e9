#include "rpc/status_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "rpc/caller_identity.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

// The detail of one type, if there is one.
template <typename Detail>
std::optional<Detail> Find(const grpc::Status& status) {
  google::rpc::Status parsed;
  EXPECT_TRUE(parsed.ParseFromString(status.error_details()));
  for (const auto& any : parsed.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

struct Row {
  Refusal refusal;
  grpc::StatusCode code;
  const char* message;
  // Empty: no details at all.
  const char* reason;
  bool bad_request;
  bool retry_info;
};

const Row kRows[] = {
    {InvalidRequest{{{"url", "is required"}, {"method", "must be a token"}}}, grpc::StatusCode::INVALID_ARGUMENT,
     "url: is required; method: must be a token", "INVALID_REQUEST", true, false},
    {UrlForbidden{{"url", "10.0.0.1 is a private address"}}, grpc::StatusCode::PERMISSION_DENIED,
     "url: 10.0.0.1 is a private address", "URL_FORBIDDEN", false, false},
    {Overloaded{"fetchd is overloaded", std::chrono::milliseconds(1500)}, grpc::StatusCode::UNAVAILABLE,
     "fetchd is overloaded", "OVERLOADED", false, true},
    {QuotaExceeded{"reports", "too many of reports", std::chrono::milliseconds(1500)},
     grpc::StatusCode::RESOURCE_EXHAUSTED, "too many of reports", "QUOTA_EXCEEDED", false, true},
    {Draining{std::chrono::milliseconds(1500)}, grpc::StatusCode::UNAVAILABLE, "fetchd is shutting down", "DRAINING",
     false, true},
    {CallerCancelled{}, grpc::StatusCode::CANCELLED, "cancelled by the caller", "", false, false},
    {Broken{"00000000000000aa", "an invariant"}, grpc::StatusCode::INTERNAL,
     "fetchd failed on fetch 00000000000000aa: an invariant", "INTERNAL", false, false},
};

TEST(StatusTableTest, MapsEveryRefusal) {
  static_assert(std::size(kRows) == std::variant_size_v<Refusal>);
  for (size_t i = 0; i < std::size(kRows); ++i) {
    const Row& row = kRows[i];
    SCOPED_TRACE(row.message);
    ASSERT_EQ(row.refusal.index(), i);
    const grpc::Status status = ToStatus(row.refusal);
    EXPECT_EQ(status.error_code(), row.code);
    EXPECT_EQ(status.error_message(), row.message);
    if (*row.reason == '\0') {
      EXPECT_TRUE(status.error_details().empty());
      continue;
    }
    google::rpc::Status parsed;
    ASSERT_TRUE(parsed.ParseFromString(status.error_details()));
    EXPECT_EQ(parsed.code(), row.code);
    EXPECT_EQ(parsed.message(), row.message);
    const auto info = Find<google::rpc::ErrorInfo>(status);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->reason(), row.reason);
    EXPECT_EQ(info->domain(), "fetchd");
    EXPECT_EQ(Find<google::rpc::BadRequest>(status).has_value(), row.bad_request);
    const auto retry = Find<google::rpc::RetryInfo>(status);
    ASSERT_EQ(retry.has_value(), row.retry_info);
    if (retry) {
      EXPECT_EQ(retry->retry_delay().seconds(), 1);
      EXPECT_EQ(retry->retry_delay().nanos(), 500'000'000);
    }
  }
}

TEST(StatusTableTest, NamesFieldsInTheDetails) {
  const auto bad = Find<google::rpc::BadRequest>(ToStatus(kRows[0].refusal));
  ASSERT_EQ(bad->field_violations_size(), 2);
  EXPECT_EQ(bad->field_violations(1).field(), "method");
  EXPECT_EQ(bad->field_violations(1).description(), "must be a token");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(ToStatus(kRows[1].refusal))->metadata().at("field"), "url");
  EXPECT_EQ(Find<google::rpc::ErrorInfo>(ToStatus(kRows[6].refusal))->metadata().at("fetch_id"), "00000000000000aa");
}

TEST(StatusTableTest, StaysWithinTheMetadataLimit) {
  InvalidRequest many;
  for (int i = 0; i < 1000; ++i)
    many.violations.push_back({Concat("headers[", i, "].value"), std::string(i == 0 ? 100'000 : 40, 'x')});
  const grpc::Status status = ToStatus(many);
  EXPECT_LT(status.error_message().size() * 3 + status.error_details().size() * 4 / 3, 8192U);
  EXPECT_THAT(status.error_message(), HasSubstr(" more"));
  EXPECT_GT(Find<google::rpc::BadRequest>(status)->field_violations_size(), 10);
}

TEST(PeerAddressTest, IsTheAddressWithoutThePort) {
  EXPECT_EQ(PeerAddress("ipv4:10.1.2.3:4444"), "10.1.2.3");
  EXPECT_EQ(PeerAddress("ipv6:%5B2001:db8::1%5D:4444"), "2001:db8::1");
  EXPECT_EQ(PeerAddress("ipv6:[::1]:4444"), "::1");
  EXPECT_EQ(PeerAddress("ipv6:%5Bfe80::1%25eth0%5D:4444"), "fe80::1%eth0");
  EXPECT_EQ(PeerAddress("unix:/run/x"), "unix:/run/x");
}

}  // namespace
}  // namespace fetchd::server
