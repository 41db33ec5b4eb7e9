// Bytes to responses, strictly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/chunked_body.h"
#include "http/field_line.h"
#include "http/http_limits.h"
#include "model/failure.h"
#include "model/response_head.h"

namespace fetchd::server {

// Parses the response to one request as RFC 9112 has it, line by line as they arrive; a plain head in one go
// (ParsePlainHead). All that is lax there and an attack elsewhere is refused, each kind with a code of its own:
// docs/responses.md is the list. What a piece of input means does not depend on how it is cut. Belongs to its exchange;
// not reusable.
class ResponseCodec {
 public:
  using Step = ChunkedBody::Step;
  enum class HeadStep {
    kNeedMore,  // all that can be used was used: come again with what is left and at least one byte more
    kHead,      // the final head is complete
    kFailed     // see failure()
  };
  enum class Framing { kNone, kLength, kChunked, kUntilClose };

  // `head_request`: the request was HEAD, so the response has no body whatever it says.
  ResponseCodec(const HttpLimits& limits, bool head_request);
  ResponseCodec(const ResponseCodec&) = delete;
  ResponseCodec& operator=(const ResponseCodec&) = delete;

  // Up to and including kHead. `consumed` bytes of `in` are used; the next call gets the rest and more. Interim
  // responses are skipped.
  HeadStep ParseHead(std::string_view in, size_t& consumed);
  // A byte of the final head was seen, as far as can be told.
  bool final_head_began() const { return pending_head_ && (head_.status == 0 || head_.status >= 200); }
  // Interim responses so far, and whether one of them was 100 (Continue).
  int interim_responses() const { return interim_; }
  bool continued() const { return continued_; }

  // After kHead.
  ResponseHead TakeHead() { return std::move(head_); }
  Framing framing() const { return framing_; }
  // The connection may serve another exchange, as far as the head says.
  bool keep_alive() const { return keep_alive_; }

  // After kHead, with Framing::kChunked: kBody, kDone, kNeedMore or kFailed. With kBody `piece` is a non-empty view
  // into `in`, counted in `consumed`.
  Step ParseChunked(std::string_view in, size_t& consumed, std::string_view& piece) {
    if (!chunked_) chunked_.emplace(limits_);
    return chunked_->Parse(in, consumed, piece);
  }
  // After kDone.
  Headers TakeTrailers() { return chunked_->TakeTrailers(); }

  // After kFailed: code and detail; phase receive, processed yes.
  Failure failure() const;

 private:
  // Forgets the head before.
  void BeginHead();
  // True if a head that is plain was at the front of `in`.
  bool ParsePlain(std::string_view in, size_t& consumed);
  // The first line of `in`, without its CRLF. False if it is not complete, or something is wrong already (failed then).
  bool TakeLine(std::string_view in, std::string_view& line);
  bool CheckSize(size_t line_size, bool complete);
  bool OnStatusLine(std::string_view line);
  bool OnFieldLine(std::string_view line);
  // Of those fields that bear on framing or on the connection; name in lower case.
  bool OnContentLength(std::string_view value);
  bool OnTransferEncoding(std::string_view value);
  void OnConnection(std::string_view options);
  // The empty line after the head.
  bool OnHeadEnd();
  bool Fail(FailureCode code, std::string detail);

  const HttpLimits& limits_;
  const bool head_request_;
  ResponseHead head_;  // its status is 0 until the status line is complete
  Framing framing_ = Framing::kNone;
  bool keep_alive_ = false;

  // Of the head being parsed.
  bool pending_head_ = false;  // bytes of it were seen
  bool http_1_0_ = false;
  bool close_ = false;
  bool stays_open_ = false;
  bool transfer_encoding_ = false;
  std::optional<uint64_t> length_;
  size_t head_bytes_ = 0;  // used
  size_t scanned_ = 0;     // bytes of an incomplete line in which there is no LF

  int interim_ = 0;
  bool continued_ = false;
  std::optional<ChunkedBody> chunked_;
  std::optional<Offence> offence_;
};

}  // namespace fetchd::server
