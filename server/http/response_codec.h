// Bytes to responses, strictly.
#pragma once

#include <boost/beast/http/basic_parser.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/http_limits.h"
#include "model/failure.h"
#include "model/response_head.h"

namespace fetchd::server {

// Parses the response to one request (RFC 9112): a plain head by itself (ParsePlainHead), all else with Beast's parser,
// fed by hand from the connection's buffer, and
// refuses what Beast lets through: folded lines, transfer codings other than plain `chunked`, chunked from HTTP/1.0,
// statuses outside of 100 to 599 and 101, anything over HttpLimits. What a piece of input means does not depend on how
// it is cut. Belongs to its exchange; not reusable.
class ResponseCodec {
 public:
  enum class Step {
    kNeedMore,  // all that can be used was used: come again with what is left and at least one byte more
    kHead,      // the final head is complete
    kBody,      // a piece of the body
    kDone,      // the end of a chunked body, trailers included
    kFailed     // see failure()
  };
  enum class Framing { kNone, kLength, kChunked, kUntilClose };

  // `head_request`: the request was HEAD, so the response has no body whatever it says.
  ResponseCodec(const HttpLimits& limits, bool head_request);
  ResponseCodec(const ResponseCodec&) = delete;
  ResponseCodec& operator=(const ResponseCodec&) = delete;

  // Up to and including kHead. `consumed` bytes of `in` are used; the next call gets the rest and more. Interim
  // responses are skipped.
  Step ParseHead(std::string_view in, size_t& consumed);
  // A byte of the final head was seen, as far as can be told.
  bool final_head_began() const { return pending_head_ && (status_ == 0 || status_ >= 200); }
  // Only interim responses were seen, or nothing.
  int interim_responses() const { return interim_; }

  // After kHead.
  ResponseHead TakeHead() { return std::move(head_); }
  Framing framing() const { return framing_; }
  // The connection may serve another exchange, as far as the head says.
  bool keep_alive() const { return keep_alive_; }

  // After kHead, with Framing::kChunked: kBody, kDone, kNeedMore or kFailed. With kBody `piece` is a non-empty view
  // into `in`, counted in `consumed`.
  Step ParseChunked(std::string_view in, size_t& consumed, std::string_view& piece);
  // After kDone.
  Headers TakeTrailers() { return std::move(trailers_); }

  // After kFailed: code and detail; phase receive, processed yes.
  Failure failure() const;

 private:
  using Base = boost::beast::http::basic_parser<false>;
  using Field = boost::beast::http::field;
  using View = boost::beast::string_view;
  using Error = boost::beast::error_code;

  class Parser final : public Base {
   public:
    explicit Parser(ResponseCodec& codec) : codec_(codec) {}

   private:
    void on_request_impl(boost::beast::http::verb, View, View, int, Error&) override {}
    void on_response_impl(int status, View reason, int version, Error& ec) override;
    void on_field_impl(Field field, View name, View value, Error& ec) override;
    void on_header_impl(Error& ec) override;
    void on_body_init_impl(boost::optional<uint64_t> const&, Error&) override {}
    size_t on_body_impl(View, Error&) override { return 0; }
    void on_chunk_header_impl(uint64_t size, View extensions, Error& ec) override;
    size_t on_chunk_body_impl(uint64_t remain, View body, Error& ec) override;
    void on_finish_impl(Error&) override {}

    ResponseCodec& codec_;
  };

  // Forgets the head before.
  void BeginHead();
  // True if a head that is plain was at the front of `in`.
  bool ParsePlain(std::string_view in, size_t& consumed);
  // Runs the parser once over `in`. False if it, or a check of ours, failed; `need_more` if it wants more.
  bool Put(std::string_view in, size_t& consumed, bool& need_more);
  Step Fail(FailureCode code, std::string_view detail);
  Step FailStatusLine();
  void OnField(Field field, std::string_view name, std::string_view value, Error& ec);
  // Counts a chunk header of `size` bytes. False if that was too much (failed then).
  bool CountChunkHeader(size_t size);
  // Length of the chunk header (with the trailers, if it is the last one) at the front of `in`; 0 if it is not
  // complete, nullopt if it is over a limit (failed then).
  std::optional<size_t> ChunkHeaderSize(std::string_view in);

  const HttpLimits& limits_;
  const bool head_request_;
  // Made for the first head that is not plain.
  std::optional<Parser> parser_;
  ResponseHead head_;
  Headers trailers_;
  Framing framing_ = Framing::kNone;
  bool keep_alive_ = false;

  int status_ = 0;  // of the head being parsed; 0 until its status line is complete
  int version_ = 0;
  int interim_ = 0;
  bool pending_head_ = false;  // bytes of a head were seen that is not complete
  bool transfer_encoding_ = false;
  size_t head_bytes_ = 0;       // used of the head being parsed
  const char* base_ = nullptr;  // start of the input of the current Put
  bool in_trailers_ = false;
  bool first_chunk_ = true;
  int64_t chunk_overhead_ = 0;  // see HttpLimits::max_chunk_overhead_bytes
  uint64_t chunk_left_ = 0;
  size_t scanned_ = 0;  // of an incomplete chunk header
  std::string_view piece_;
  std::optional<FailureCode> failed_;
  std::string detail_;
};

}  // namespace fetchd::server
