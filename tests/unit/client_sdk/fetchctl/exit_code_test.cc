#include "fetchctl/exit_code.h"

#include "gtest/gtest.h"

namespace fetchd::fetchctl {
namespace {

TEST(ExitCodeOf, EveryErrorCode) {
  struct Row {
    v1::ErrorCode code;
    int expected;
  };
  const Row rows[] = {
      {v1::REQUEST_INVALID, 3},
      {v1::HTTP_REQUEST_DENIED, 9},
      {v1::DESTINATION_IP_PROHIBITED, 9},
      {v1::DNS_ERROR, 6},
      {v1::DNS_TIMEOUT, 28},
      {v1::CONNECTION_REFUSED, 7},
      {v1::DESTINATION_UNAVAILABLE, 7},
      {v1::CONNECTION_TIMEOUT, 28},
      {v1::CONNECTION_TERMINATED, 52},
      {v1::CONNECTION_WRITE_TIMEOUT, 28},
      {v1::CONNECTION_READ_TIMEOUT, 28},
      {v1::CONNECTION_LIMIT_REACHED, 75},
      {v1::QUEUE_TIMEOUT, 28},
      {v1::TLS_PROTOCOL_ERROR, 35},
      {v1::TLS_CERTIFICATE_ERROR, 60},
      {v1::TLS_ALERT_RECEIVED, 35},
      {v1::TLS_TIMEOUT, 28},
      {v1::HTTP_PROTOCOL_ERROR, 8},
      {v1::HTTP_RESPONSE_INCOMPLETE, 18},
      {v1::HTTP_RESPONSE_HEADER_SECTION_SIZE, 100},
      {v1::HTTP_RESPONSE_HEADER_SIZE, 100},
      {v1::HTTP_RESPONSE_BODY_SIZE, 63},
      {v1::HTTP_RESPONSE_TRAILER_SECTION_SIZE, 100},
      {v1::HTTP_RESPONSE_TIMEOUT, 28},
      {v1::MIN_RATE_TIMEOUT, 28},
      {v1::ATTEMPT_TIMEOUT, 28},
      {v1::TOTAL_TIMEOUT, 28},
      {v1::HTTP_REQUEST_BODY_SIZE, 55},
      {v1::PAGE_INVALID, 8},
      {v1::PAGINATION_LOOP, 47},
      {v1::PAGE_ORIGIN_PROHIBITED, 9},
      {v1::PAGE_STATUS, 22},
      {v1::CIRCUIT_OPEN, 75},
      {v1::RATE_LIMITED, 75},
      {v1::HTTP2_PROTOCOL_ERROR, 16},
      {v1::HTTP2_STREAM_RESET, 92},
      {v1::HTTP2_STREAM_REFUSED, 92},
      {v1::HTTP2_FLOOD, 16},
      {v1::HTTP_VERSION_NOT_AVAILABLE, 16},
      {v1::REDIRECT_INVALID, 8},
      {v1::REDIRECT_ORIGIN_PROHIBITED, 9},
      {v1::REDIRECT_INSECURE, 9},
      {v1::REDIRECT_LIMIT, 47},
      {v1::HTTP_STATUS_LINE_INVALID, 8},
      {v1::HTTP_STATUS_INVALID, 8},
      {v1::HTTP_HEADER_INVALID, 8},
      {v1::HTTP_SPACE_BEFORE_COLON, 8},
      {v1::HTTP_HEADER_FOLDED, 8},
      {v1::HTTP_BARE_CR, 8},
      {v1::HTTP_BARE_LF, 8},
      {v1::HTTP_NUL, 8},
      {v1::HTTP_CONTENT_LENGTH_INVALID, 8},
      {v1::HTTP_CONTENT_LENGTH_CONFLICT, 8},
      {v1::HTTP_FRAMING_CONFLICT, 8},
      {v1::HTTP_TRANSFER_CODING_INVALID, 8},
      {v1::HTTP10_TRANSFER_CODING, 8},
      {v1::HTTP_CHUNK_SIZE_INVALID, 8},
      {v1::HTTP_CHUNK_INVALID, 8},
      {v1::HTTP_TRAILER_INVALID, 8},
      {v1::HTTP_TOO_MANY_INTERIM_RESPONSES, 8},
      {v1::TLS_TRUNCATED, 18},
      {v1::HTTP_UNSOLICITED_RESPONSE, 8},
  };
  for (const Row& row : rows) EXPECT_EQ(ExitCodeOf(row.code), row.expected) << v1::ErrorCode_Name(row.code);
  // The table is whole: all codes of the contract but UNSPECIFIED.
  EXPECT_EQ(static_cast<int>(std::size(rows)), v1::ErrorCode_descriptor()->value_count() - 1);
}

TEST(ExitCodeOf, CodesOfANewerFetchd) { EXPECT_EQ(ExitCodeOf(static_cast<v1::ErrorCode>(9999)), 70); }

TEST(ExitCodeOf, EveryStatus) {
  const std::pair<absl::StatusCode, int> rows[] = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kCancelled, 130},
      {absl::StatusCode::kUnknown, 70},
      {absl::StatusCode::kInvalidArgument, 3},
      {absl::StatusCode::kDeadlineExceeded, 28},
      {absl::StatusCode::kNotFound, 70},
      {absl::StatusCode::kPermissionDenied, 9},
      {absl::StatusCode::kResourceExhausted, 75},
      {absl::StatusCode::kUnimplemented, 70},
      {absl::StatusCode::kInternal, 70},
      {absl::StatusCode::kUnavailable, 69},
      {absl::StatusCode::kUnauthenticated, 67},
  };
  for (const auto& [code, expected] : rows) {
    EXPECT_EQ(ExitCodeOf(absl::Status(code, "")), expected) << absl::StatusCodeToString(code);
  }
}

}  // namespace
}  // namespace fetchd::fetchctl
