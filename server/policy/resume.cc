#include "policy/resume.h"

#include <algorithm>

#include "base/text.h"

namespace fetchd::server {
namespace {

// section 8.8.3: etagc
bool IsEtagChar(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == 0x21 || (byte >= 0x23 && byte <= 0x7e) || byte >= 0x80;
}

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) { return Lower(a) == b; });
}

Continuation Mismatch(std::string detail) { return {.verdict = "mismatch", .left = 0, .detail = std::move(detail)}; }

}  // namespace

bool IsStrongEtag(std::string_view value) {
  return value.size() >= 2 && value.front() == '"' && value.back() == '"' &&
         std::all_of(value.begin() + 1, value.end() - 1, IsEtagChar);
}

void ResumePoint::Keep(const ResponseHead& head) {
  etag_size_ = coding_size_ = 0;
  length_ = head.content_length;
  if (head.status != 200) return;
  std::string_view etag, coding;
  for (const HeaderView field : head.headers) {
    // Their sizes tell most fields apart at once.
    switch (field.name.size()) {
      case 4:
        if (field.name != "etag") break;
        if (!etag.empty()) return;
        etag = field.value;
        break;
      case 13:
        if (field.name == "accept-ranges" && EqualsIgnoringCase(field.value, "none")) return;
        break;
      case 16:
        if (field.name != "content-encoding") break;
        if (!coding.empty()) return;
        coding = field.value;
        break;
      default:
        break;
    }
  }
  if (etag.empty() || etag.size() + coding.size() > kMaxText || !IsStrongEtag(etag)) return;
  coding.copy(std::copy(etag.begin(), etag.end(), text_.data()), coding.size());
  etag_size_ = static_cast<uint8_t>(etag.size());
  coding_size_ = static_cast<uint8_t>(coding.size());
}

std::optional<ContentRange> ParseContentRange(std::string_view value) {
  constexpr std::string_view kUnit = "bytes ";
  if (!EqualsIgnoringCase(value.substr(0, kUnit.size()), kUnit)) return std::nullopt;
  value.remove_prefix(kUnit.size());
  const size_t dash = value.find('-'), slash = value.find('/');
  if (slash == value.npos || dash > slash) return std::nullopt;
  const auto first = ParseDecimal<uint64_t>(value.substr(0, dash));
  const auto last = ParseDecimal<uint64_t>(value.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *first > *last) return std::nullopt;
  const std::string_view total_text = value.substr(slash + 1);
  if (total_text == "*") return ContentRange{*first, *last, std::nullopt};
  const auto total = ParseDecimal<uint64_t>(total_text);
  if (!total || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last, total};
}

Continuation CheckContinuation(const ResumePoint& point, uint64_t offset, const ResponseHead& head) {
  if (head.status == 200) return {.verdict = "changed", .left = 0, .detail = "the origin has another response by now"};
  if (head.status != 206) return Mismatch(Concat("the origin answered ", head.status));
  std::optional<std::string_view> range, etag;
  std::string_view coding;
  for (const HeaderView field : head.headers) {
    std::optional<std::string_view>* once = field.name == "content-range" ? &range
                                            : field.name == "etag"        ? &etag
                                                                          : nullptr;
    if (once != nullptr) {
      if (once->has_value()) return Mismatch(Concat("its 206 has two fields ", field.name));
      *once = field.value;
    } else if (field.name == "content-encoding") {
      coding = field.value;
    }
  }
  // Among them multipart/byteranges, which has it in its parts.
  if (!range) return Mismatch("its 206 has no Content-Range");
  const std::optional<ContentRange> sent = ParseContentRange(*range);
  if (!sent) return Mismatch(Concat("its Content-Range is malformed: ", range->substr(0, 80)));
  if (sent->first != offset || !sent->total || sent->last + 1 != *sent->total)
    return Mismatch(Concat("its Content-Range is another one: ", *range));
  if (point.length() && *sent->total != *point.length())
    return {.verdict = "changed",
            .left = 0,
            .detail = Concat("the response has ", *sent->total, " bytes by now, and had ", *point.length())};
  if (!etag) return Mismatch("its 206 has no ETag");
  if (*etag != point.etag()) return {.verdict = "changed", .left = 0, .detail = "the ETag is another one by now"};
  if (coding != point.content_coding()) return Mismatch("its Content-Encoding is another one");
  const uint64_t left = sent->last - sent->first + 1;
  if (head.content_length && *head.content_length != left)
    return Mismatch(Concat("its Content-Length ", *head.content_length, " is not that of its Content-Range"));
  return {.verdict = "resumed", .left = left, .detail = {}};
}

}  // namespace fetchd::server
