// Content codings (RFC 9110 section 8.4.1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/headers.h"

namespace fetchd::server {

// Those that fetchd can undo.
enum class ContentCoding : uint8_t { kGzip, kDeflate, kBrotli, kZstd };

// The registered name, in lower case: "gzip", "deflate", "br", "zstd".
std::string_view ToString(ContentCoding coding);

// The value of Accept-Encoding for all of them.
inline constexpr std::string_view kAcceptedCodings = "gzip, deflate, br, zstd";

// The codings of one body, in the order in which they were applied, as in Content-Encoding. A plain value.
struct CodingList {
  static constexpr size_t kMost = 3;
  std::array<ContentCoding, kMost> codings{};
  uint8_t size = 0;

  const ContentCoding* begin() const { return codings.data(); }
  const ContentCoding* end() const { return codings.data() + size; }
  bool empty() const { return size == 0; }
};

// What Content-Encoding says of a body.
struct CodingsFound {
  enum class Verdict {
    kNone,     // no coding, or only `identity`
    kKnown,    // `list` has them all
    kUnknown,  // one of them is not ours to undo
    kTooMany   // more than CodingList::kMost, all known
  };
  Verdict verdict = Verdict::kNone;
  CodingList list;
};

// Reads all Content-Encoding fields, together one list. Names are compared without case; `x-gzip` is `gzip` (RFC 9110
// section 8.4.1.3), `identity` and empty elements count for nothing.
CodingsFound FindCodings(const Headers& headers);

}  // namespace fetchd::server
