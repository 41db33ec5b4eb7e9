#pragma once

#include "absl/status/status.h"
#include "fetchd/v1/fetch.pb.h"

namespace fetchd::fetchctl {

// What fetchctl exits with: curl's numbers where curl has one, sysexits' where not. docs/fetchctl.md lists them.
enum ExitCode : int {
  kOk = 0,
  // fetchctl health: fetchd answers, and is not serving.
  kNotServing = 1,
  kUsage = 2,
  // The request is malformed.
  kMalformed = 3,
  kDns = 6,
  kConnect = 7,
  // The origin's answer breaks HTTP, is no page of a list, or not what the request expects.
  kWeirdReply = 8,
  // This fetchd does not fetch such URLs.
  kDenied = 9,
  kHttp2 = 16,  // HTTP/2 failed, or is not spoken there
  kPartial = 18,
  // HTTP status 400 or above, with --fail.
  kHttpError = 22,
  kWriteLocal = 23,
  kReadLocal = 26,
  kTimeout = 28,
  kTls = 35,
  kPaginationLoop = 47,
  // The origin closed the connection without a response.
  kNothingReceived = 52,
  // The streamed body had another length than announced.
  kSend = 55,
  kCertificate = 60,
  kBadEncoding = 61,
  kTooLarge = 63,
  kUnauthenticated = 67,
  // fetchd cannot be reached, or refuses work for now.
  kUnavailable = 69,
  // A fault of fetchd.
  kInternal = 70,
  // A connection limit or quota of fetchd.
  kTryLater = 75,
  kHttp2Stream = 92,  // the origin ended the stream
  // A proxy does not let the fetch through.
  kProxy = 97,
  kHeaderTooLarge = 100,
  // Ctrl-C.
  kInterrupted = 130,
};

// For a fetch that brought no complete response.
ExitCode ExitCodeOf(v1::ErrorCode code);

// For an RPC that failed.
ExitCode ExitCodeOf(const absl::Status& status);

}  // namespace fetchd::fetchctl
