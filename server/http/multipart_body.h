// multipart/form-data bodies (RFC 7578).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fetchd::server {

// A part; `data` may go on in what follows it in the body. Valid as long as what it refers to.
struct BodyPart {
  // Without control characters but TAB, CR and LF, as is `filename`.
  std::string_view name;
  // Empty: not a file.
  std::string_view filename;
  // A header value. Empty: application/octet-stream for a file, none for another part.
  std::string_view content_type;
  std::string_view data;
};

// The content-type of a body with this boundary.
std::string MultipartContentType(std::string_view boundary);

// A boundary for these parts: from a SHA-256 of all that is in them, so that the same parts get the same one. None of
// them can contain it, as whoever wrote it there would have changed the hash.
std::string BoundaryOf(std::span<const BodyPart> parts);
// A boundary for parts that are not known yet, from 128 bits that nobody could guess.
std::string RandomBoundary();

// Appends the beginning of a part: delimiter, header and data. It ends with the next part or with the body's end.
// Double quotes, CR and LF in names are written %22, %0D and %0A, as the HTML standard has it and so do browsers and
// curl.
void AppendPart(std::string_view boundary, bool first, const BodyPart& part, std::string& out);
// Appends what ends the body, after at least one part.
void AppendMultipartEnd(std::string_view boundary, std::string& out);

}  // namespace fetchd::server
