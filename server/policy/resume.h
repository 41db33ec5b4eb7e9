// How the rest of a broken response is asked for, and what may be taken for it (RFC 9110 sections 13.1.5 and 14).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/response_head.h"

namespace fetchd::server {

// An entity tag (RFC 9110 section 8.8.3) that is not weak: equal ones mean equal bytes.
bool IsStrongEtag(std::string_view value);

// What is kept of a response's head in case its body breaks off. Allocates nothing, as most bodies do not. A value.
class ResumePoint {
 public:
  // Entity tag and content coding together; a response with more of them is not resumed. Origins have up to 40 bytes.
  static constexpr size_t kMaxText = 160;

  // Takes what it needs of a head, in place of what it had.
  void Keep(const ResponseHead& head);
  // The bytes of this very response can be asked for again: it is a 200, has one strong entity tag, and does not say
  // that the origin knows no ranges.
  bool possible() const { return etag_size_ > 0; }
  std::string_view etag() const { return {text_.data(), etag_size_}; }
  std::string_view content_coding() const { return {text_.data() + etag_size_, coding_size_}; }
  // Of the whole body, as it is sent.
  std::optional<uint64_t> length() const { return length_; }

 private:
  std::array<char, kMaxText> text_;
  uint8_t etag_size_ = 0;
  uint8_t coding_size_ = 0;
  std::optional<uint64_t> length_;
};

// Content-Range of a 206: these bytes, the last one included, of so many.
struct ContentRange {
  uint64_t first = 0;
  uint64_t last = 0;
  // Unset: the origin does not know ("*").
  std::optional<uint64_t> total;
  bool operator==(const ContentRange&) const = default;
};
// nullopt unless it is well-formed, in bytes, and first <= last < total (RFC 9110 section 14.4).
std::optional<ContentRange> ParseContentRange(std::string_view value);

// What an answer to the request for the rest is.
struct Continuation {
  // A literal: "resumed"; "changed" if the origin has another response by now; "mismatch" if it is anything else that
  // is not the rest.
  std::string_view verdict;
  // With "resumed": bytes of the rest.
  uint64_t left = 0;
  // For people: what is wrong.
  std::string detail;
};
// Whether `head` begins the rest of the response kept in `point` of which `offset` bytes are there: a 206 with the same
// strong entity tag and content coding, whose Content-Range is all from `offset` to the end, of the same total.
Continuation CheckContinuation(const ResumePoint& point, uint64_t offset, const ResponseHead& head);

}  // namespace fetchd::server
