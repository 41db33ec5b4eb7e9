#include "model/content_coding.h"

#include <optional>
#include <string>

#include "base/text.h"

namespace fetchd::server {
namespace {

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<ContentCoding> ParseCoding(std::string_view name) {
  if (name == "gzip" || name == "x-gzip") return ContentCoding::kGzip;
  if (name == "deflate") return ContentCoding::kDeflate;
  if (name == "br") return ContentCoding::kBrotli;
  if (name == "zstd") return ContentCoding::kZstd;
  return std::nullopt;
}

}  // namespace

std::string_view ToString(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kGzip:
      return "gzip";
    case ContentCoding::kDeflate:
      return "deflate";
    case ContentCoding::kBrotli:
      return "br";
    case ContentCoding::kZstd:
      return "zstd";
  }
  return "gzip";
}

CodingsFound FindCodings(const Headers& headers) {
  CodingsFound found;
  size_t count = 0;
  for (const HeaderView field : headers) {
    if (field.name != "content-encoding") continue;
    for (const std::string_view element : Split(field.value, ',')) {
      const std::string name = Lower(TrimBlanks(element));
      if (name.empty() || name == "identity") continue;
      const std::optional<ContentCoding> coding = ParseCoding(name);
      if (!coding) return {CodingsFound::Verdict::kUnknown, {}};
      if (count < CodingList::kMost) found.list.codings[count] = *coding;
      ++count;
    }
  }
  if (count > CodingList::kMost) return {CodingsFound::Verdict::kTooMany, {}};
  found.list.size = static_cast<uint8_t>(count);
  if (count > 0) found.verdict = CodingsFound::Verdict::kKnown;
  return found;
}

}  // namespace fetchd::server
