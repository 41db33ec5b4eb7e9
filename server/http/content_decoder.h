// Undoes content codings, piece by piece.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "model/content_coding.h"

namespace fetchd::server {

// What a coded body may cost before it is taken for a bomb.
struct DecoderLimits {
  // Decoded bytes before the ratio counts.
  uint64_t free_bytes = 1024 * 1024;
  // Decoded bytes for each coded one, beyond the free ones. Also of each coding of several.
  uint64_t max_ratio = 100;
  // Members of a gzip body, frames of a zstd body.
  uint32_t max_members = 1000;
  // Window of a zstd frame, as the power of two: 8 MiB, the most that RFC 9659 lets a zstd body have.
  int max_window_log = 23;
};

// Undoes one coding. What comes out does not depend on how the input is cut. Belongs to one thread.
class ContentDecoder {
 public:
  enum class Result {
    kOk,       // see Decode
    kInvalid,  // the input is not of this coding; no use any more
    kLimit     // it is over a limit; no use any more
  };

  // gzip: RFC 1952, any number of members one after the other, all header fields, checksums checked.
  // deflate: RFC 1950 (zlib), or a bare RFC 1951 stream as some origins send it; the first two bytes tell.
  // br: RFC 7932. It takes up to 16 MiB for what comes out: no window is larger.
  // zstd: RFC 8878, any number of frames, skippable ones too; no dictionaries.
  static std::unique_ptr<ContentDecoder> Make(ContentCoding coding, const DecoderLimits& limits);
  virtual ~ContentDecoder() = default;

  // Takes bytes off the front of `in` and writes to the front of `out`, both of which are moved on. With kOk either
  // `in` is used up and all that it stands for was written, or `out` is full: then come again, also without input.
  // Bytes after the end of the coded data are kInvalid. `out` is not empty.
  virtual Result Decode(std::string_view& in, std::span<char>& out) = 0;
  // No more input comes, and all that it stands for was written: kOk if it is complete. Nothing at all is, too: an
  // empty body has nothing to undo.
  virtual Result End() = 0;
  // Bytes of memory that it holds now, about.
  virtual size_t memory() const = 0;
  // After another result than kOk: what is wrong, for people.
  const std::string& error() const { return error_; }

 protected:
  std::string error_;
};

// Undoes up to three codings that were applied one on the other. Between two of them is a buffer of fixed size.
class LayeredDecoder {
 public:
  using Result = ContentDecoder::Result;

  LayeredDecoder(CodingList codings, const DecoderLimits& limits);

  // As ContentDecoder::Decode.
  Result Decode(std::string_view& in, std::span<char>& out);
  // As ContentDecoder::End.
  Result End();
  size_t memory() const;
  // After another result than kOk: what is wrong, with the name of the coding.
  const std::string& error() const { return error_; }

 private:
  // One coding, with what it is given by the one outside of it.
  struct Stage {
    ContentCoding coding{};
    std::unique_ptr<ContentDecoder> decoder;
    std::unique_ptr<char[]> buffer;
    std::string_view input;
    uint64_t made = 0;
  };
  static constexpr size_t kBufferBytes = 32 * 1024;

  // Decodes into `out` what stage `i` gives, asking the stages outside of it for more.
  Result Pull(size_t i, std::string_view& in, std::span<char>& out);

  const DecoderLimits limits_;
  // In the order in which they are undone: from the last one applied to the first.
  std::array<Stage, CodingList::kMost> stages_;
  const size_t count_;
  uint64_t taken_ = 0;
  std::string error_;
};

}  // namespace fetchd::server
