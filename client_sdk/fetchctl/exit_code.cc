#include "fetchctl/exit_code.h"

namespace fetchd::fetchctl {

ExitCode ExitCodeOf(v1::ErrorCode code) {
  switch (code) {
    case v1::REQUEST_INVALID:
      return kMalformed;
    case v1::HTTP_REQUEST_DENIED:
    case v1::DESTINATION_IP_PROHIBITED:
    case v1::PAGE_ORIGIN_PROHIBITED:
    case v1::REDIRECT_ORIGIN_PROHIBITED:
    case v1::REDIRECT_INSECURE:
      return kDenied;
    case v1::DNS_ERROR:
      return kDns;
    case v1::CONNECTION_REFUSED:
    case v1::DESTINATION_UNAVAILABLE:
      return kConnect;
    case v1::CONNECTION_TERMINATED:
      return kNothingReceived;
    case v1::DNS_TIMEOUT:
    case v1::CONNECTION_TIMEOUT:
    case v1::CONNECTION_WRITE_TIMEOUT:
    case v1::CONNECTION_READ_TIMEOUT:
    case v1::QUEUE_TIMEOUT:
    case v1::TLS_TIMEOUT:
    case v1::HTTP_RESPONSE_TIMEOUT:
    case v1::MIN_RATE_TIMEOUT:
    case v1::ATTEMPT_TIMEOUT:
    case v1::TOTAL_TIMEOUT:
      return kTimeout;
    case v1::CONNECTION_LIMIT_REACHED:
    case v1::CIRCUIT_OPEN:
    case v1::RATE_LIMITED:
      return kTryLater;
    case v1::TLS_PROTOCOL_ERROR:
    case v1::TLS_ALERT_RECEIVED:
      return kTls;
    case v1::TLS_CERTIFICATE_ERROR:
      return kCertificate;
    case v1::HTTP_PROTOCOL_ERROR:
    case v1::HTTP_STATUS_LINE_INVALID:
    case v1::HTTP_STATUS_INVALID:
    case v1::HTTP_HEADER_INVALID:
    case v1::HTTP_SPACE_BEFORE_COLON:
    case v1::HTTP_HEADER_FOLDED:
    case v1::HTTP_BARE_CR:
    case v1::HTTP_BARE_LF:
    case v1::HTTP_NUL:
    case v1::HTTP_CONTENT_LENGTH_INVALID:
    case v1::HTTP_CONTENT_LENGTH_CONFLICT:
    case v1::HTTP_FRAMING_CONFLICT:
    case v1::HTTP_TRANSFER_CODING_INVALID:
    case v1::HTTP10_TRANSFER_CODING:
    case v1::HTTP_CHUNK_SIZE_INVALID:
    case v1::HTTP_CHUNK_INVALID:
    case v1::HTTP_TRAILER_INVALID:
    case v1::HTTP_TOO_MANY_INTERIM_RESPONSES:
    case v1::HTTP_UNSOLICITED_RESPONSE:
    case v1::PAGE_INVALID:
    case v1::REDIRECT_INVALID:
      return kWeirdReply;
    case v1::HTTP2_PROTOCOL_ERROR:
    case v1::HTTP2_FLOOD:
    case v1::HTTP_VERSION_NOT_AVAILABLE:
      return kHttp2;
    case v1::HTTP2_STREAM_RESET:
    case v1::HTTP2_STREAM_REFUSED:
      return kHttp2Stream;
    case v1::HTTP_RESPONSE_INCOMPLETE:
    case v1::TLS_TRUNCATED:
      return kPartial;
    case v1::HTTP_RESPONSE_HEADER_SECTION_SIZE:
    case v1::HTTP_RESPONSE_HEADER_SIZE:
    case v1::HTTP_RESPONSE_TRAILER_SECTION_SIZE:
      return kHeaderTooLarge;
    case v1::HTTP_RESPONSE_BODY_SIZE:
      return kTooLarge;
    case v1::HTTP_REQUEST_BODY_SIZE:
      return kSend;
    case v1::PAGINATION_LOOP:
    case v1::REDIRECT_LIMIT:
      return kPaginationLoop;
    case v1::PAGE_STATUS:
      return kHttpError;
    default:
      // A code that a newer fetchd has.
      return kInternal;
  }
}

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
      return kMalformed;
    case absl::StatusCode::kPermissionDenied:
      return kDenied;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimeout;
    case absl::StatusCode::kUnauthenticated:
      return kUnauthenticated;
    case absl::StatusCode::kUnavailable:
      return kUnavailable;
    case absl::StatusCode::kResourceExhausted:
      return kTryLater;
    case absl::StatusCode::kCancelled:
      return kInterrupted;
    default:
      return kInternal;
  }
}

}  // namespace fetchd::fetchctl
