#include "model/failure.h"

namespace fetchd::server {

std::string_view ToString(FailureCode code) {
  switch (code) {
    case FailureCode::kRequestInvalid:
      return "request_invalid";
    case FailureCode::kHttpRequestDenied:
      return "http_request_denied";
    case FailureCode::kDestinationIpProhibited:
      return "destination_ip_prohibited";
    case FailureCode::kDnsError:
      return "dns_error";
    case FailureCode::kDnsTimeout:
      return "dns_timeout";
    case FailureCode::kConnectionRefused:
      return "connection_refused";
    case FailureCode::kDestinationUnavailable:
      return "destination_unavailable";
    case FailureCode::kConnectionTimeout:
      return "connection_timeout";
    case FailureCode::kConnectionTerminated:
      return "connection_terminated";
    case FailureCode::kConnectionWriteTimeout:
      return "connection_write_timeout";
    case FailureCode::kConnectionReadTimeout:
      return "connection_read_timeout";
    case FailureCode::kConnectionLimitReached:
      return "connection_limit_reached";
    case FailureCode::kQueueTimeout:
      return "queue_timeout";
    case FailureCode::kTlsProtocolError:
      return "tls_protocol_error";
    case FailureCode::kTlsCertificateError:
      return "tls_certificate_error";
    case FailureCode::kTlsAlertReceived:
      return "tls_alert_received";
    case FailureCode::kTlsTimeout:
      return "tls_timeout";
    case FailureCode::kHttpProtocolError:
      return "http_protocol_error";
    case FailureCode::kHttpResponseIncomplete:
      return "http_response_incomplete";
    case FailureCode::kHttpResponseHeaderSectionSize:
      return "http_response_header_section_size";
    case FailureCode::kHttpResponseHeaderSize:
      return "http_response_header_size";
    case FailureCode::kHttpResponseBodySize:
      return "http_response_body_size";
    case FailureCode::kHttpResponseTrailerSectionSize:
      return "http_response_trailer_section_size";
    case FailureCode::kHttpResponseTimeout:
      return "http_response_timeout";
    case FailureCode::kMinRateTimeout:
      return "min_rate_timeout";
    case FailureCode::kAttemptTimeout:
      return "attempt_timeout";
    case FailureCode::kTotalTimeout:
      return "total_timeout";
    case FailureCode::kHttpRequestBodySize:
      return "http_request_body_size";
    case FailureCode::kPageInvalid:
      return "page_invalid";
    case FailureCode::kPaginationLoop:
      return "pagination_loop";
    case FailureCode::kPageOriginProhibited:
      return "page_origin_prohibited";
    case FailureCode::kPageStatus:
      return "page_status";
    case FailureCode::kCircuitOpen:
      return "circuit_open";
    case FailureCode::kRateLimited:
      return "rate_limited";
    case FailureCode::kHttp2ProtocolError:
      return "http2_protocol_error";
    case FailureCode::kHttp2StreamReset:
      return "http2_stream_reset";
    case FailureCode::kHttp2StreamRefused:
      return "http2_stream_refused";
    case FailureCode::kHttp2Flood:
      return "http2_flood";
    case FailureCode::kHttpVersionNotAvailable:
      return "http_version_not_available";
    case FailureCode::kRedirectInvalid:
      return "redirect_invalid";
    case FailureCode::kRedirectOriginProhibited:
      return "redirect_origin_prohibited";
    case FailureCode::kRedirectInsecure:
      return "redirect_insecure";
    case FailureCode::kRedirectLimit:
      return "redirect_limit";
    case FailureCode::kHttpStatusLineInvalid:
      return "http_status_line_invalid";
    case FailureCode::kHttpStatusInvalid:
      return "http_status_invalid";
    case FailureCode::kHttpHeaderInvalid:
      return "http_header_invalid";
    case FailureCode::kHttpSpaceBeforeColon:
      return "http_space_before_colon";
    case FailureCode::kHttpHeaderFolded:
      return "http_header_folded";
    case FailureCode::kHttpBareCr:
      return "http_bare_cr";
    case FailureCode::kHttpBareLf:
      return "http_bare_lf";
    case FailureCode::kHttpNul:
      return "http_nul";
    case FailureCode::kHttpContentLengthInvalid:
      return "http_content_length_invalid";
    case FailureCode::kHttpContentLengthConflict:
      return "http_content_length_conflict";
    case FailureCode::kHttpFramingConflict:
      return "http_framing_conflict";
    case FailureCode::kHttpTransferCodingInvalid:
      return "http_transfer_coding_invalid";
    case FailureCode::kHttp10TransferCoding:
      return "http10_transfer_coding";
    case FailureCode::kHttpChunkSizeInvalid:
      return "http_chunk_size_invalid";
    case FailureCode::kHttpChunkInvalid:
      return "http_chunk_invalid";
    case FailureCode::kHttpTrailerInvalid:
      return "http_trailer_invalid";
    case FailureCode::kHttpTooManyInterimResponses:
      return "http_too_many_interim_responses";
    case FailureCode::kTlsTruncated:
      return "tls_truncated";
    case FailureCode::kHttpUnsolicitedResponse:
      return "http_unsolicited_response";
    case FailureCode::kCancelled:
      return "cancelled";
    case FailureCode::kInternal:
      return "internal";
  }
  return "internal";
}

std::string_view ToString(Phase phase) {
  switch (phase) {
    case Phase::kPolicy:
      return "policy";
    case Phase::kQueue:
      return "queue";
    case Phase::kDns:
      return "dns";
    case Phase::kConnect:
      return "connect";
    case Phase::kTls:
      return "tls";
    case Phase::kSend:
      return "send";
    case Phase::kWait:
      return "wait";
    case Phase::kReceive:
      return "receive";
    case Phase::kBackoff:
      return "backoff";
    case Phase::kPaginate:
      return "paginate";
  }
  return "policy";
}

std::string_view ToString(Processed processed) {
  switch (processed) {
    case Processed::kNo:
      return "no";
    case Processed::kMaybe:
      return "maybe";
    case Processed::kYes:
      return "yes";
  }
  return "no";
}

bool IsTransient(FailureCode code) {
  switch (code) {
    case FailureCode::kDnsError:
    case FailureCode::kDnsTimeout:
    case FailureCode::kConnectionRefused:
    case FailureCode::kDestinationUnavailable:
    case FailureCode::kConnectionTimeout:
    case FailureCode::kConnectionTerminated:
    case FailureCode::kConnectionWriteTimeout:
    case FailureCode::kConnectionReadTimeout:
    case FailureCode::kConnectionLimitReached:
    case FailureCode::kQueueTimeout:
    case FailureCode::kTlsTimeout:
    case FailureCode::kTlsAlertReceived:
    case FailureCode::kHttpResponseIncomplete:
    case FailureCode::kHttpResponseTimeout:
    case FailureCode::kMinRateTimeout:
    case FailureCode::kAttemptTimeout:
    case FailureCode::kTotalTimeout:
    case FailureCode::kCircuitOpen:
    case FailureCode::kRateLimited:
    case FailureCode::kHttp2StreamReset:
    case FailureCode::kHttp2StreamRefused:
    case FailureCode::kTlsTruncated:
    case FailureCode::kHttpUnsolicitedResponse:
      return true;
    default:
      return false;
  }
}

}  // namespace fetchd::server
