// The chunked transfer coding, from the reader's side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "http/field_line.h"
#include "http/http_limits.h"
#include "model/headers.h"

namespace fetchd::server {

// Decodes one body (RFC 9112 section 7.1) as it arrives, to the letter: sizes are hexadecimal digits and nothing else,
// extensions are well-formed, each line ends with CRLF, each chunk with the CRLF after its data, and the trailers say
// nothing of framing. What a piece of input means does not depend on how it is cut. Part of its ResponseCodec.
class ChunkedBody {
 public:
  enum class Step { kNeedMore, kBody, kDone, kFailed };

  explicit ChunkedBody(const HttpLimits& limits) : limits_(limits) {}

  // As ResponseCodec::ParseChunked.
  Step Parse(std::string_view in, size_t& consumed, std::string_view& piece);
  // After kDone.
  Headers TakeTrailers() { return std::move(trailers_); }
  // After kFailed.
  const Offence& offence() const { return *offence_; }

 private:
  enum class At { kSize, kData, kDataEnd, kTrailers };

  Step Fail(FailureCode code, std::string detail);
  // The line at the front of `in`, without its CRLF; nullopt if it is not complete, or something is wrong (failed
  // then).
  std::optional<std::string_view> TakeLine(std::string_view in);
  // Whether the line at hand, of `size` bytes with its line end, is within the limits; it is `empty`, as far as can be
  // told. False if not (failed then).
  bool CheckSize(size_t size, bool empty);
  bool OnSizeLine(std::string_view line);
  // Does not take the empty line after them.
  bool OnTrailer(std::string_view line);
  // Counts a chunk header of `size` bytes. False if that was too much (failed then).
  bool CountHeader(size_t size);

  const HttpLimits& limits_;
  At at_ = At::kSize;
  bool first_ = true;
  uint64_t left_ = 0;     // of the data of the chunk
  size_t scanned_ = 0;    // bytes of an incomplete line in which there is no LF
  int64_t overhead_ = 0;  // see HttpLimits::max_chunk_overhead_bytes
  size_t trailer_bytes_ = 0;
  Headers trailers_;
  std::optional<Offence> offence_;
};

}  // namespace fetchd::server
