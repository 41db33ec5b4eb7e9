// What a response may cost before it is refused.
#pragma once

#include <cstddef>

namespace fetchd::server {

// Caps on the parts of a response that are held in memory whole. Enforced by ResponseCodec; a response over a cap fails
// its exchange and closes the connection.
struct HttpLimits {
  // The status line, in bytes. kHttpResponseHeaderSectionSize.
  size_t max_status_line_bytes = 8 * 1024;
  // Status line and fields of one head, in bytes. kHttpResponseHeaderSectionSize.
  size_t max_head_bytes = 64 * 1024;
  // Fields of one head, or of the trailers. kHttpResponseHeaderSize.
  size_t max_header_count = 256;
  // Name and value of one field, in bytes. kHttpResponseHeaderSize.
  size_t max_field_bytes = 16 * 1024;
  // One chunk header with its extensions, in bytes. kHttpChunkInvalid.
  size_t max_chunk_header_bytes = 4 * 1024;
  // What all chunk headers of a body may be longer, in bytes, than 16 for each chunk and two for each byte of data: far
  // more than any honest origin needs, and an end to those that send nothing but extensions. kHttpChunkInvalid.
  size_t max_chunk_overhead_bytes = 16 * 1024;
  // All trailer fields, in bytes. kHttpResponseTrailerSectionSize.
  size_t max_trailer_bytes = 16 * 1024;
  // Interim (1xx) responses before the final one. kHttpTooManyInterimResponses.
  int max_interim_responses = 16;
};

}  // namespace fetchd::server
