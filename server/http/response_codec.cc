#include "http/response_codec.h"

#include <algorithm>
#include <utility>

#include "http/plain_head.h"

namespace fetchd::server {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
// What both versions begin with; the digit after it makes the difference.
constexpr std::string_view kVersion = "HTTP/1.";
constexpr size_t kStatusAt = kVersion.size() + 2;

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) { return Lower(a) == b; });
}

}  // namespace

ResponseCodec::ResponseCodec(const HttpLimits& limits, bool head_request)
    : limits_(limits), head_request_(head_request) {}

void ResponseCodec::BeginHead() {
  head_ = {};
  pending_head_ = http_1_0_ = close_ = stays_open_ = transfer_encoding_ = false;
  length_.reset();
  head_bytes_ = 0;
}

bool ResponseCodec::ParsePlain(std::string_view in, size_t& consumed) {
  consumed = ParsePlainHead(in, limits_, head_);
  if (consumed == 0) {
    head_ = {};
    return false;
  }
  pending_head_ = true;
  keep_alive_ = true;
  framing_ = *head_.content_length > 0 ? Framing::kLength : Framing::kNone;
  return true;
}

Failure ResponseCodec::failure() const {
  const Offence& offence = offence_ ? *offence_ : chunked_->offence();
  return {.code = offence.code, .phase = Phase::kReceive, .processed = Processed::kYes, .detail = offence.detail};
}

bool ResponseCodec::Fail(FailureCode code, std::string detail) {
  if (!offence_) offence_ = Offence{code, std::move(detail)};
  return false;
}

ResponseCodec::HeadStep ResponseCodec::ParseHead(std::string_view in, size_t& consumed) {
  consumed = 0;
  while (consumed < in.size()) {
    const std::string_view rest = in.substr(consumed);
    size_t used = 0;
    if (!pending_head_ && !head_request_ && ParsePlain(rest, used)) {
      consumed += used;
      return HeadStep::kHead;
    }
    pending_head_ = true;
    std::string_view line;
    if (!TakeLine(rest, line)) return offence_ ? HeadStep::kFailed : HeadStep::kNeedMore;
    used = line.size() + kLineEnd.size();
    consumed += used;
    head_bytes_ += used;
    if (head_.status == 0 || !line.empty()) {
      const bool good = head_.status == 0 ? OnStatusLine(line) : OnFieldLine(line);
      if (!good) return HeadStep::kFailed;
      continue;
    }
    if (!OnHeadEnd()) return HeadStep::kFailed;
    if (head_.status >= 200) return HeadStep::kHead;
    BeginHead();
  }
  return HeadStep::kNeedMore;
}

bool ResponseCodec::TakeLine(std::string_view in, std::string_view& line) {
  // What is no HTTP at all is refused at its first bytes, as a line may never end.
  if (head_.status == 0 && in.substr(0, kVersion.size()) != kVersion.substr(0, in.size()))
    return Fail(FailureCode::kHttpStatusLineInvalid, "the response does not begin with a version of HTTP/1");
  const size_t end = in.find('\n', std::exchange(scanned_, in.size()));
  if (end == in.npos) {
    CheckSize(in.size(), false);
    return false;
  }
  scanned_ = 0;
  if (!CheckSize(end + 1, true)) return false;
  if (end == 0 || in[end - 1] != '\r')
    return Fail(FailureCode::kHttpBareLf, "a line of the head ends with LF without CR");
  line = in.substr(0, end - 1);
  return true;
}

bool ResponseCodec::CheckSize(size_t line_size, bool complete) {
  // The end of an incomplete line is one byte more at least.
  const size_t size = line_size + (complete ? 0 : 1);
  if (head_.status == 0 && size > limits_.max_status_line_bytes)
    return Fail(FailureCode::kHttpResponseHeaderSectionSize,
                Concat("the status line is over ", limits_.max_status_line_bytes, " bytes"));
  if (head_bytes_ + size > limits_.max_head_bytes)
    return Fail(FailureCode::kHttpResponseHeaderSectionSize,
                Concat("status line and headers are over ", limits_.max_head_bytes, " bytes"));
  return true;
}

// RFC 9112 section 4. The blank before a reason phrase that is not there may be missing: many servers leave it out, and
// nothing hangs on it.
bool ResponseCodec::OnStatusLine(std::string_view line) {
  const std::string_view after = line.substr(kVersion.size());
  if (after.size() < 2 || (after[0] != '0' && after[0] != '1') || after[1] != ' ')
    return Fail(FailureCode::kHttpStatusLineInvalid, "the version of the response is neither HTTP/1.0 nor HTTP/1.1");
  const std::string_view digits = line.substr(kStatusAt, 3);
  const std::string_view reason = line.substr(std::min(line.size(), kStatusAt + 3));
  if (digits.size() < 3 || !std::all_of(digits.begin(), digits.end(), IsDigit) ||
      (!reason.empty() && reason.front() != ' '))
    return Fail(FailureCode::kHttpStatusLineInvalid, "the status is not of three digits");
  if ((offence_ = FindControl(reason, FailureCode::kHttpStatusLineInvalid, "the reason phrase"))) return false;
  const int status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  if (status < 100 || status > 599)
    return Fail(FailureCode::kHttpStatusInvalid, Concat("the status ", digits, " is outside of 100 to 599"));
  if (status == 101)
    return Fail(FailureCode::kHttpStatusInvalid, "the origin switches protocols, which nobody asked for");
  http_1_0_ = after[0] == '0';
  head_.status = status;
  return true;
}

bool ResponseCodec::OnFieldLine(std::string_view line) {
  FieldLine field;
  if ((offence_ = ParseFieldLine(line, field))) return false;
  if (field.name.size() + field.value.size() > limits_.max_field_bytes)
    return Fail(FailureCode::kHttpResponseHeaderSize,
                Concat("a header field is over ", limits_.max_field_bytes, " bytes"));
  if (head_.headers.size() >= limits_.max_header_count)
    return Fail(FailureCode::kHttpResponseHeaderSize, Concat("more than ", limits_.max_header_count, " header fields"));
  head_.headers.Add(field.name, field.value);
  const std::string_view name = head_.headers[head_.headers.size() - 1].name;
  if (name == "content-length") return OnContentLength(field.value);
  if (name == "transfer-encoding") return OnTransferEncoding(field.value);
  if (name == "connection" || name == "proxy-connection") OnConnection(field.value);
  return true;
}

// RFC 9112 section 6.3 lets a recipient take a list, or several fields, of one value for that value.
bool ResponseCodec::OnContentLength(std::string_view value) {
  for (const std::string_view piece : Split(value, ',')) {
    const std::optional<uint64_t> length = ParseDecimal<uint64_t>(Trim(piece));
    if (!length)
      return Fail(FailureCode::kHttpContentLengthInvalid, "Content-Length is not a decimal number below 2^64");
    if (length_ && *length_ != *length)
      return Fail(FailureCode::kHttpContentLengthConflict,
                  Concat("Content-Length is both ", *length_, " and ", *length));
    length_ = length;
  }
  return true;
}

bool ResponseCodec::OnTransferEncoding(std::string_view value) {
  if (http_1_0_) return Fail(FailureCode::kHttp10TransferCoding, "an HTTP/1.0 response has a transfer coding");
  // Other codings would reach the caller undecoded, and two lists invite disagreement about the framing.
  if (transfer_encoding_ || !EqualsIgnoringCase(value, "chunked"))
    return Fail(FailureCode::kHttpTransferCodingInvalid, "the transfer coding is not `chunked`, once");
  transfer_encoding_ = true;
  return true;
}

void ResponseCodec::OnConnection(std::string_view options) {
  for (const std::string_view piece : Split(options, ',')) {
    const std::string_view option = Trim(piece);
    close_ = close_ || EqualsIgnoringCase(option, "close");
    stays_open_ = stays_open_ || EqualsIgnoringCase(option, "keep-alive");
  }
}

bool ResponseCodec::OnHeadEnd() {
  const int status = head_.status;
  if (length_ && transfer_encoding_)
    return Fail(FailureCode::kHttpFramingConflict, "the response has both Content-Length and Transfer-Encoding");
  if (transfer_encoding_ && (status < 200 || status == 204))
    return Fail(FailureCode::kHttpTransferCodingInvalid, Concat("a response ", status, " has a transfer coding"));
  if (status < 200) {
    continued_ = continued_ || status == 100;
    return ++interim_ <= limits_.max_interim_responses ||
           Fail(FailureCode::kHttpTooManyInterimResponses,
                Concat("more than ", limits_.max_interim_responses, " interim responses"));
  }
  if (head_request_ || status == 204 || status == 304) {
    framing_ = Framing::kNone;
    head_.content_length = 0;
  } else if (transfer_encoding_) {
    framing_ = Framing::kChunked;
  } else if (!length_) {
    framing_ = Framing::kUntilClose;
  } else {
    framing_ = *length_ > 0 ? Framing::kLength : Framing::kNone;
    head_.content_length = length_;
  }
  keep_alive_ = !close_ && framing_ != Framing::kUntilClose && (!http_1_0_ || stays_open_);
  return true;
}

}  // namespace fetchd::server
