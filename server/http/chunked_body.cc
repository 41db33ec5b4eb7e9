#include "http/chunked_body.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace fetchd::server {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

void SkipBlanks(std::string_view& text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
}

bool SkipToken(std::string_view& text) {
  const size_t before = text.size();
  while (!text.empty() && Is(kToken, text.front())) text.remove_prefix(1);
  return text.size() < before;
}

// RFC 9110 section 5.6.4.
bool SkipQuoted(std::string_view& text) {
  for (text.remove_prefix(1); !text.empty() && text.front() != '"'; text.remove_prefix(1)) {
    if (text.front() == '\\') text.remove_prefix(1);
    if (text.empty() || !Is(kText, text.front())) return false;
  }
  if (text.empty()) return false;
  text.remove_prefix(1);
  return true;
}

// *( BWS ";" BWS name [ BWS "=" BWS value ] ), RFC 9112 section 7.1.1.
bool AreExtensions(std::string_view text) {
  while (!text.empty()) {
    SkipBlanks(text);
    if (!text.starts_with(';')) return false;
    text.remove_prefix(1);
    SkipBlanks(text);
    if (!SkipToken(text)) return false;
    std::string_view after = text;
    SkipBlanks(after);
    if (!after.starts_with('=')) continue;
    after.remove_prefix(1);
    SkipBlanks(after);
    text = after;
    if (!(text.starts_with('"') ? SkipQuoted(text) : SkipToken(text))) return false;
  }
  return true;
}

}  // namespace

ChunkedBody::Step ChunkedBody::Fail(FailureCode code, std::string detail) {
  if (!offence_) offence_ = Offence{code, std::move(detail)};
  return Step::kFailed;
}

ChunkedBody::Step ChunkedBody::Parse(std::string_view in, size_t& consumed, std::string_view& piece) {
  consumed = 0;
  while (consumed < in.size()) {
    const std::string_view rest = in.substr(consumed);
    if (at_ == At::kData) {
      piece = rest.substr(0, left_);
      left_ -= piece.size();
      if (left_ == 0) at_ = At::kDataEnd;
      consumed += piece.size();
      return Step::kBody;
    }
    if (at_ == At::kDataEnd) {
      if (!kLineEnd.starts_with(rest.substr(0, kLineEnd.size())))
        return Fail(FailureCode::kHttpChunkInvalid, "the data of a chunk is not followed by CRLF");
      if (rest.size() < kLineEnd.size()) return Step::kNeedMore;
      consumed += kLineEnd.size();
      at_ = At::kSize;
      continue;
    }
    const std::optional<std::string_view> line = TakeLine(rest);
    if (!line) return offence_ ? Step::kFailed : Step::kNeedMore;
    consumed += line->size() + kLineEnd.size();
    if (at_ == At::kTrailers && line->empty()) return Step::kDone;
    if (!(at_ == At::kSize ? OnSizeLine(*line) : OnTrailer(*line))) return Step::kFailed;
  }
  return Step::kNeedMore;
}

std::optional<std::string_view> ChunkedBody::TakeLine(std::string_view in) {
  const size_t end = in.find('\n', std::exchange(scanned_, in.size()));
  if (end == in.npos) {
    // The end is one byte more at least.
    CheckSize(in.size() + 1, in == "\r");
    return std::nullopt;
  }
  scanned_ = 0;
  const std::string_view line = in.substr(0, end);
  if (!CheckSize(end + 1, line == "\r")) return std::nullopt;
  if (line.ends_with('\r')) return line.substr(0, end - 1);
  Fail(FailureCode::kHttpBareLf, "a line of a chunked body ends with LF without CR");
  return std::nullopt;
}

bool ChunkedBody::CheckSize(size_t size, bool empty) {
  if (at_ == At::kSize && size > limits_.max_chunk_header_bytes + kLineEnd.size()) {
    Fail(FailureCode::kHttpChunkInvalid, Concat("a chunk header is over ", limits_.max_chunk_header_bytes, " bytes"));
    return false;
  }
  if (at_ == At::kTrailers && !empty && trailer_bytes_ + size > limits_.max_trailer_bytes) {
    Fail(FailureCode::kHttpResponseTrailerSectionSize,
         Concat("the trailers are over ", limits_.max_trailer_bytes, " bytes"));
    return false;
  }
  return true;
}

bool ChunkedBody::OnSizeLine(std::string_view line) {
  const auto digits =
      static_cast<size_t>(std::find_if(line.begin(), line.end(), [](char c) { return !IsHexDigit(c); }) - line.begin());
  const auto [end, error] = std::from_chars(line.data(), line.data() + digits, left_, 16);
  if (digits == 0 || error != std::errc()) {
    Fail(FailureCode::kHttpChunkSizeInvalid, "a chunk's size is not a hexadecimal number below 2^64");
    return false;
  }
  const std::string_view after = line.substr(digits);
  if (!AreExtensions(after)) {
    const bool extended = Trim(after).starts_with(';');
    Fail(extended ? FailureCode::kHttpChunkInvalid : FailureCode::kHttpChunkSizeInvalid,
         extended ? "a chunk extension is malformed" : "a chunk's size has something else than an extension after it");
    return false;
  }
  at_ = left_ > 0 ? At::kData : At::kTrailers;
  // The CRLF after the data before it counts as a part of the header.
  const size_t ends = std::exchange(first_, false) ? kLineEnd.size() : 2 * kLineEnd.size();
  return left_ == 0 || CountHeader(line.size() + ends);
}

bool ChunkedBody::CountHeader(size_t size) {
  constexpr int64_t kFree = 16;
  // Never below nothing, so that one large chunk does not pay for endless small ones after it.
  const auto paid = static_cast<int64_t>(std::min<uint64_t>(left_, limits_.max_chunk_header_bytes)) * 2 + kFree;
  overhead_ = std::max<int64_t>(0, overhead_ + static_cast<int64_t>(size) - paid);
  if (overhead_ <= static_cast<int64_t>(limits_.max_chunk_overhead_bytes)) return true;
  Fail(FailureCode::kHttpChunkInvalid, "the chunk headers are far larger than the chunks");
  return false;
}

bool ChunkedBody::OnTrailer(std::string_view line) {
  trailer_bytes_ += line.size() + kLineEnd.size();
  FieldLine field;
  if ((offence_ = ParseFieldLine(line, field))) return false;
  if (field.name.size() + field.value.size() > limits_.max_field_bytes) {
    Fail(FailureCode::kHttpResponseHeaderSize, Concat("a trailer field is over ", limits_.max_field_bytes, " bytes"));
    return false;
  }
  if (trailers_.size() >= limits_.max_header_count) {
    Fail(FailureCode::kHttpResponseHeaderSize, Concat("more than ", limits_.max_header_count, " trailer fields"));
    return false;
  }
  trailers_.Add(field.name, field.value);
  const std::string_view name = trailers_[trailers_.size() - 1].name;
  if (name != "content-length" && name != "transfer-encoding") return true;
  Fail(FailureCode::kHttpTrailerInvalid, Concat("the trailers have ", name));
  return false;
}

}  // namespace fetchd::server
