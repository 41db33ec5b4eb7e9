// Why a fetch, an attempt or an exchange brought no complete response.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace fetchd::server {

// Numbers and names are those of fetchd.v1.ErrorCode (a test compares them). There are gaps.
enum class FailureCode : uint8_t {
  kRequestInvalid = 1,
  kHttpRequestDenied = 2,
  kDestinationIpProhibited = 3,
  kDnsError = 4,
  kDnsTimeout = 5,
  kConnectionRefused = 6,
  kDestinationUnavailable = 7,
  kConnectionTimeout = 8,
  kConnectionTerminated = 9,
  kConnectionWriteTimeout = 10,
  kConnectionReadTimeout = 11,
  kConnectionLimitReached = 12,
  kQueueTimeout = 13,
  kTlsProtocolError = 14,
  kTlsCertificateError = 15,
  kTlsAlertReceived = 16,
  kTlsTimeout = 17,
  kHttpProtocolError = 18,
  kHttpResponseIncomplete = 19,
  kHttpResponseHeaderSectionSize = 20,
  kHttpResponseHeaderSize = 21,
  kHttpResponseBodySize = 22,
  kHttpResponseTrailerSectionSize = 23,
  kHttpResponseTimeout = 24,
  kMinRateTimeout = 25,
  kAttemptTimeout = 26,
  kTotalTimeout = 27,
  kHttpRequestBodySize = 28,
  kPageInvalid = 29,
  kPaginationLoop = 30,
  kPageOriginProhibited = 31,
  kPageStatus = 32,
  kCircuitOpen = 33,
  kRateLimited = 34,
  kHttp2ProtocolError = 35,
  kHttp2StreamReset = 36,
  kHttp2StreamRefused = 37,
  kHttp2Flood = 38,
  kHttpVersionNotAvailable = 39,
  kRedirectInvalid = 46,
  kRedirectOriginProhibited = 47,
  kRedirectInsecure = 48,
  kRedirectLimit = 49,
  kHttpStatusLineInvalid = 50,
  kHttpStatusInvalid = 51,
  kHttpHeaderInvalid = 52,
  kHttpSpaceBeforeColon = 53,
  kHttpHeaderFolded = 54,
  kHttpBareCr = 55,
  kHttpBareLf = 56,
  kHttpNul = 57,
  kHttpContentLengthInvalid = 58,
  kHttpContentLengthConflict = 59,
  kHttpFramingConflict = 60,
  kHttpTransferCodingInvalid = 61,
  kHttp10TransferCoding = 62,
  kHttpChunkSizeInvalid = 63,
  kHttpChunkInvalid = 64,
  kHttpTrailerInvalid = 65,
  kHttpTooManyInterimResponses = 66,
  kTlsTruncated = 67,
  kHttpUnsolicitedResponse = 68,
  // Not in the proto: the caller (or the end of its RPC) cancelled. Never reported as an outcome.
  kCancelled = 200,
  // Not in the proto: a bug of ours; reported as gRPC INTERNAL.
  kInternal = 201,
};
// No reported one has a greater number.
inline constexpr int kLastReportedFailureCode = 99;

// Numbers are those of fetchd.v1.Phase.
enum class Phase : uint8_t {
  kPolicy = 1,
  kQueue = 2,
  kDns = 3,
  kConnect = 4,
  kTls = 5,
  kSend = 6,
  kWait = 7,
  kReceive = 8,
  kBackoff = 9,
  kPaginate = 10,
};
inline constexpr int kLastPhase = 10;

// Numbers are those of fetchd.v1.Processed.
enum class Processed : uint8_t { kNo = 1, kMaybe = 2, kYes = 3 };

// Lower-case names for logs and metric labels, such as "dns_error", "receive", "maybe".
std::string_view ToString(FailureCode code);
std::string_view ToString(Phase phase);
std::string_view ToString(Processed processed);

// A typed failure; retry and metrics switch on its fields, nobody reads `detail` but people.
struct Failure {
  FailureCode code = FailureCode::kInternal;
  Phase phase = Phase::kPolicy;
  // Could the origin have acted? From transport facts only.
  Processed processed = Processed::kNo;
  // For people: what was tried and what came of it. No secrets.
  std::string detail;
  // The exchange ran on a connection that had served another one before, and no byte of the response came. Such a
  // failure says nothing about the origin: one immediate attempt on a fresh connection is free.
  bool reused_connection = false;
};

// May an unchanged fetch succeed later? (Bad certificates, policy refusals and oversize do not heal by themselves.)
bool IsTransient(FailureCode code);

}  // namespace fetchd::server
