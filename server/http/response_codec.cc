#include "http/response_codec.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "http/plain_head.h"

namespace fetchd::server {
namespace {

namespace bhttp = boost::beast::http;

std::string_view ToStd(boost::beast::string_view s) { return {s.data(), s.size()}; }

// Beast joins folded lines (obs-fold); RFC 9112 section 5.2 lets a client refuse them.
bool HasFoldedLine(std::string_view lines) {
  for (size_t at = lines.find('\n'); at != lines.npos && at + 1 < lines.size(); at = lines.find('\n', at + 1))
    if (lines[at + 1] == ' ' || lines[at + 1] == '\t') return true;
  return false;
}

bool IsZeroChunk(std::string_view line) {
  size_t zeros = std::min(line.find_first_not_of('0'), line.size());
  return zeros > 0 && (zeros == line.size() || line[zeros] == ';' || line[zeros] == ' ' || line[zeros] == '\t');
}

}  // namespace

ResponseCodec::ResponseCodec(const HttpLimits& limits, bool head_request)
    : limits_(limits), head_request_(head_request) {}

void ResponseCodec::BeginHead() {
  parser_.reset();
  head_ = {};
  status_ = 0;
  head_bytes_ = 0;
  pending_head_ = false;
  transfer_encoding_ = false;
}

bool ResponseCodec::ParsePlain(std::string_view in, size_t& consumed) {
  consumed = ParsePlainHead(in, limits_, head_);
  if (consumed == 0) {
    head_ = {};
    return false;
  }
  pending_head_ = true;
  status_ = head_.status;
  version_ = 11;
  keep_alive_ = true;
  framing_ = *head_.content_length > 0 ? Framing::kLength : Framing::kNone;
  return true;
}

Failure ResponseCodec::failure() const {
  return {.code = failed_.value_or(FailureCode::kInternal),
          .phase = Phase::kReceive,
          .processed = Processed::kYes,
          .detail = detail_};
}

ResponseCodec::Step ResponseCodec::Fail(FailureCode code, std::string_view detail) {
  if (!failed_) {
    failed_ = code;
    detail_ = std::string(detail);
  }
  return Step::kFailed;
}

ResponseCodec::Step ResponseCodec::FailStatusLine() {
  return Fail(FailureCode::kHttpResponseHeaderSectionSize,
              absl::StrCat("the status line is over ", limits_.max_status_line_bytes, " bytes"));
}

bool ResponseCodec::Put(std::string_view in, size_t& consumed, bool& need_more) {
  if (!parser_) {
    parser_.emplace(*this);
    // Beast's own limits look at one call; ours at the whole message.
    parser_->header_limit(std::numeric_limits<uint32_t>::max());
    parser_->body_limit(boost::none);
    if (head_request_) parser_->skip(true);
  }
  Error ec;
  base_ = in.data();
  consumed = parser_->put(boost::asio::const_buffer(in.data(), in.size()), ec);
  need_more = ec == bhttp::error::need_more;
  if (failed_) return false;
  if (ec && !need_more) {
    Fail(FailureCode::kHttpProtocolError, absl::StrCat("the response is not valid HTTP/1.1: ", ec.message()));
    return false;
  }
  return true;
}

ResponseCodec::Step ResponseCodec::ParseHead(std::string_view in, size_t& consumed) {
  consumed = 0;
  while (consumed < in.size()) {
    std::string_view rest = in.substr(consumed);
    size_t used = 0;
    if (!pending_head_ && !head_request_ && ParsePlain(rest, used)) {
      consumed += used;
      return Step::kHead;
    }
    pending_head_ = true;
    bool need_more = false;
    if (!Put(rest, used, need_more)) return Step::kFailed;
    if (HasFoldedLine(rest.substr(0, used)))
      return Fail(FailureCode::kHttpProtocolError, "the response has a folded header line");
    consumed += used;
    head_bytes_ += used;
    size_t seen = head_bytes_ + (need_more ? rest.size() - used : 0);
    // Beast parses nothing before the head is complete if it had to wait for more.
    if (status_ == 0 && std::min(rest.find('\n'), rest.size() - 1) >= limits_.max_status_line_bytes)
      return FailStatusLine();
    if (seen > limits_.max_head_bytes)
      return Fail(FailureCode::kHttpResponseHeaderSectionSize,
                  absl::StrCat("status line and headers are over ", limits_.max_head_bytes, " bytes"));
    if (need_more) return Step::kNeedMore;
    if (status_ >= 200) return Step::kHead;
    if (++interim_ > limits_.max_interim_responses)
      return Fail(FailureCode::kHttpProtocolError,
                  absl::StrCat("more than ", limits_.max_interim_responses, " interim responses"));
    BeginHead();
  }
  return Step::kNeedMore;
}

void ResponseCodec::Parser::on_response_impl(int status, View reason, int version, Error& ec) {
  // The reason phrase itself is no more than a comment (RFC 9112 section 4).
  size_t size = static_cast<size_t>(reason.data() - codec_.base_) + reason.size() + 2;
  if (size > codec_.limits_.max_status_line_bytes) {
    codec_.FailStatusLine();
    ec = bhttp::error::header_limit;
    return;
  }
  if (status < 100 || status > 599 || status == 101) {
    codec_.Fail(FailureCode::kHttpProtocolError, absl::StrCat("the response has the status ", status));
    ec = bhttp::error::bad_status;
    return;
  }
  codec_.status_ = status;
  codec_.version_ = version;
  codec_.head_.status = status;
}

void ResponseCodec::Parser::on_field_impl(Field field, View name, View value, Error& ec) {
  codec_.OnField(field, ToStd(name), ToStd(value), ec);
}

void ResponseCodec::OnField(Field field, std::string_view name, std::string_view value, Error& ec) {
  auto refuse = [&](FailureCode code, std::string_view detail) {
    Fail(code, detail);
    ec = bhttp::error::bad_field;
  };
  if (!in_trailers_) {
    size_t end = head_bytes_ + static_cast<size_t>(name.data() - base_) + name.size() + value.size() + 4;
    if (end > limits_.max_head_bytes)
      return refuse(FailureCode::kHttpResponseHeaderSectionSize,
                    absl::StrCat("status line and headers are over ", limits_.max_head_bytes, " bytes"));
  }
  if (name.size() + value.size() > limits_.max_field_bytes)
    return refuse(FailureCode::kHttpResponseHeaderSize,
                  absl::StrCat("a header field is over ", limits_.max_field_bytes, " bytes"));
  Headers& headers = in_trailers_ ? trailers_ : head_.headers;
  if (headers.size() >= limits_.max_header_count)
    return refuse(FailureCode::kHttpResponseHeaderSize,
                  absl::StrCat("more than ", limits_.max_header_count, " header fields"));
  if (field == Field::transfer_encoding && !in_trailers_) {
    // Other codings would reach the caller undecoded, and two lists invite disagreement about the framing.
    if (transfer_encoding_ || !boost::beast::iequals(View(value.data(), value.size()), "chunked"))
      return refuse(FailureCode::kHttpProtocolError, "the transfer coding is not plain chunked");
    if (version_ < 11) return refuse(FailureCode::kHttpProtocolError, "an HTTP/1.0 response has a transfer coding");
    transfer_encoding_ = true;
  }
  headers.Add(name, value);
}

void ResponseCodec::Parser::on_header_impl(Error&) {
  ResponseCodec& c = codec_;
  if (c.status_ < 200) return;
  c.keep_alive_ = keep_alive();
  if (c.head_request_ || c.status_ == 204 || c.status_ == 304) {
    c.framing_ = Framing::kNone;
    c.head_.content_length = 0;
  } else if (chunked()) {
    c.framing_ = Framing::kChunked;
  } else if (need_eof()) {
    c.framing_ = Framing::kUntilClose;
  } else {
    uint64_t length = content_length().value_or(0);
    c.framing_ = length > 0 ? Framing::kLength : Framing::kNone;
    c.head_.content_length = length;
  }
}

std::optional<size_t> ResponseCodec::ChunkHeaderSize(std::string_view in) {
  // The CRLF after a chunk's data is read together with the next chunk's header.
  size_t start = first_chunk_ ? 0 : 2;
  size_t line_end = in.size() < start ? in.npos : in.find("\r\n", start);
  if (line_end == in.npos ? in.size() > start + limits_.max_chunk_header_bytes + 1
                          : line_end - start > limits_.max_chunk_header_bytes) {
    Fail(FailureCode::kHttpProtocolError,
         absl::StrCat("a chunk header is over ", limits_.max_chunk_header_bytes, " bytes"));
    return std::nullopt;
  }
  if (line_end == in.npos) return 0;
  if (!IsZeroChunk(in.substr(start, line_end - start))) return line_end + 2;
  // Beast wants the trailers in one piece.
  size_t end = in.find("\r\n\r\n", std::max(line_end, scanned_ > 3 ? scanned_ - 3 : 0));
  // Without the end, up to three bytes of it may be there.
  size_t trailers = (end == in.npos ? in.size() - std::min<size_t>(in.size() - line_end, 3) : end) - line_end;
  if (trailers > limits_.max_trailer_bytes) {
    Fail(FailureCode::kHttpResponseTrailerSectionSize,
         absl::StrCat("the trailers are over ", limits_.max_trailer_bytes, " bytes"));
    return std::nullopt;
  }
  scanned_ = in.size();
  return end == in.npos ? 0 : end + 4;
}

bool ResponseCodec::CountChunkHeader(size_t size) {
  constexpr int64_t kFree = 16;
  // Never below nothing, so that one large chunk does not pay for endless small ones after it.
  const auto paid = static_cast<int64_t>(std::min<uint64_t>(chunk_left_, limits_.max_chunk_header_bytes)) * 2 + kFree;
  chunk_overhead_ = std::max<int64_t>(0, chunk_overhead_ + static_cast<int64_t>(size) - paid);
  if (chunk_overhead_ <= static_cast<int64_t>(limits_.max_chunk_overhead_bytes)) return true;
  Fail(FailureCode::kHttpProtocolError, "the chunk headers are far larger than the chunks");
  return false;
}

ResponseCodec::Step ResponseCodec::ParseChunked(std::string_view in, size_t& consumed, std::string_view& piece) {
  consumed = 0;
  while (consumed < in.size()) {
    std::string_view rest = in.substr(consumed);
    size_t used = 0;
    bool need_more = false;
    if (chunk_left_ > 0) {
      piece_ = {};
      if (!Put(rest, used, need_more)) return Step::kFailed;
      consumed += used;
      piece = piece_;
      return Step::kBody;
    }
    std::optional<size_t> size = ChunkHeaderSize(rest);
    if (!size) return Step::kFailed;
    if (*size == 0) return Step::kNeedMore;
    if (!Put(rest.substr(0, *size), used, need_more)) return Step::kFailed;
    if (need_more || used != *size) return Fail(FailureCode::kHttpProtocolError, "a chunk header is malformed");
    if (in_trailers_ && HasFoldedLine(rest.substr(0, used)))
      return Fail(FailureCode::kHttpProtocolError, "the response has a folded trailer line");
    if (!in_trailers_ && !CountChunkHeader(used)) return Step::kFailed;
    consumed += used;
    first_chunk_ = false;
    scanned_ = 0;
    if (parser_->is_done()) return Step::kDone;
  }
  return Step::kNeedMore;
}

void ResponseCodec::Parser::on_chunk_header_impl(uint64_t size, View, Error&) {
  codec_.chunk_left_ = size;
  codec_.in_trailers_ = size == 0;
}

size_t ResponseCodec::Parser::on_chunk_body_impl(uint64_t, View body, Error&) {
  codec_.piece_ = ToStd(body);
  codec_.chunk_left_ -= body.size();
  return body.size();
}

}  // namespace fetchd::server
