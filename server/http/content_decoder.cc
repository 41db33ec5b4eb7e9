#include "http/content_decoder.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace fetchd::server {
namespace {

using Result = ContentDecoder::Result;

constexpr std::string_view kCut = "the body ended before its coding did";

// zlib's state and its window of 32 KiB.
constexpr size_t kInflateMemory = 42 * 1024;
// What zlib counts in is 32 bits wide.
constexpr size_t kMostAtOnce = 1 << 30;

// gzip and both kinds of deflate.
class InflateDecoder final : public ContentDecoder {
 public:
  InflateDecoder(bool gzip, uint32_t max_members) : gzip_(gzip), max_members_(max_members) {}
  InflateDecoder(const InflateDecoder&) = delete;
  InflateDecoder& operator=(const InflateDecoder&) = delete;
  ~InflateDecoder() override {
    if (state_ != State::kBegin) inflateEnd(&stream_);
  }

  Result Decode(std::string_view& in, std::span<char>& out) override {
    // With nothing behind, an end that has come is left as it is.
    while (!in.empty() || state_ == State::kInside) {
      if (state_ == State::kBegin) {
        if (!gzip_ && head_size_ < sizeof(head_)) {
          head_[head_size_++] = static_cast<unsigned char>(in.front());
          in.remove_prefix(1);
          if (head_size_ < sizeof(head_) && !SurelyBare(head_[0])) continue;
        }
        if (!Begin()) return Fail(Result::kInvalid, "no memory");
      }
      if (state_ == State::kEnd) {
        if (!gzip_) return Fail(Result::kInvalid, "bytes follow the end");
        inflateReset(&stream_);
        state_ = State::kInside;
        if (++members_ > max_members_)
          return Fail(Result::kLimit, absl::StrCat("more than ", max_members_, " members"));
      }
      // The bytes that told the kind of deflate come first.
      std::string_view head(reinterpret_cast<const char*>(head_) + head_at_, head_size_ - head_at_);
      const bool from_head = !head.empty();
      const Result result = Inflate(from_head ? head : in, out);
      if (from_head) head_at_ = static_cast<uint8_t>(head_size_ - head.size());
      if (result != Result::kOk) return result;
      if (out.empty()) break;
      if (in.empty() && head_at_ == head_size_) break;
    }
    return Result::kOk;
  }

  Result End() override {
    if (state_ == State::kEnd || (state_ == State::kBegin && head_size_ == 0)) return Result::kOk;
    return Fail(Result::kInvalid, std::string(kCut));
  }
  size_t memory() const override { return state_ == State::kBegin ? 0 : kInflateMemory; }

 private:
  enum class State { kBegin, kInside, kEnd };

  // A zlib header's low half byte is 8 (RFC 1950 section 2.2). In a bare stream that is a stored block whose unused
  // bits are not zero, which no compressor writes.
  static bool SurelyBare(unsigned char first) { return (first & 0x0f) != Z_DEFLATED; }

  bool Begin() {
    int window_bits = 15 + 16;
    if (!gzip_) {
      const bool zlib =
          head_size_ == 2 && !SurelyBare(head_[0]) && (head_[0] >> 4) <= 7 && (head_[0] * 256 + head_[1]) % 31 == 0;
      window_bits = zlib ? 15 : -15;
    }
    if (inflateInit2(&stream_, window_bits) != Z_OK) return false;
    state_ = State::kInside;
    return true;
  }

  Result Inflate(std::string_view& in, std::span<char>& out) {
    const size_t in_size = std::min(in.size(), kMostAtOnce), out_size = std::min(out.size(), kMostAtOnce);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream_.avail_in = static_cast<uInt>(in_size);
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out_size);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    in.remove_prefix(in_size - stream_.avail_in);
    out = out.subspan(out_size - stream_.avail_out);
    switch (code) {
      case Z_STREAM_END:
        state_ = State::kEnd;
        return Result::kOk;
      case Z_OK:
      case Z_BUF_ERROR:  // nothing to do for now
        return Result::kOk;
      case Z_NEED_DICT:
        return Fail(Result::kInvalid, "it needs a dictionary");
      default:
        return Fail(Result::kInvalid, stream_.msg != nullptr ? stream_.msg : "malformed data");
    }
  }

  Result Fail(Result result, std::string error) {
    error_ = std::move(error);
    return result;
  }

  const bool gzip_;
  const uint32_t max_members_;
  z_stream stream_{};
  State state_ = State::kBegin;
  uint32_t members_ = 1;
  // Of deflate: the first bytes, and how many of them inflate() has had.
  unsigned char head_[2] = {};
  uint8_t head_size_ = 0;
  uint8_t head_at_ = 0;
};

// br decodes ahead until its ring buffer is full, which a few bytes can do. So a ring buffer of 16 MiB, the largest
// there is, is given only to a body of which enough has come for the ratio to allow what is more than half of it. Until
// then what has come is kept, and the decoding starts over; an encoder makes so much of nothing that somebody waits
// for.
class BrotliDecoder final : public ContentDecoder {
 public:
  explicit BrotliDecoder(const DecoderLimits& limits)
      : large_(size_t{1} << limits.max_window_log), proof_(large_ / limits.max_ratio) {
    state_ = BrotliDecoderCreateInstance(&Allocate, &Free, this);
  }
  BrotliDecoder(const BrotliDecoder&) = delete;
  BrotliDecoder& operator=(const BrotliDecoder&) = delete;
  ~BrotliDecoder() override {
    if (state_ != nullptr) BrotliDecoderDestroyInstance(state_);
  }

  Result Decode(std::string_view& in, std::span<char>& out) override {
    if (taken_ == 0 && !in.empty()) may_be_large_ = large_ < kSecondLargest || (in.front() & 0x0f) == 0x0f;
    for (;;) {
      if (ended_) return in.empty() && !replaying_ ? Result::kOk : Fail("bytes follow the end");
      if (denied_) {
        Take(in, in.size());
        if (taken_ < proof_) return Result::kOk;
        StartOver();
      }
      if (state_ == nullptr) return Fail("no memory");
      std::string_view from = replaying_ ? std::string_view(kept_).substr(replayed_) : in;
      const size_t offered = from.size();
      const Result result = Run(from, out);
      if (denied_) continue;
      if (replaying_) {
        replayed_ += offered - from.size();
        if (replayed_ == kept_.size()) EndReplay();
      } else {
        Take(in, offered - from.size());
      }
      if (result != Result::kOk) return result;
      if (out.empty() || (in.empty() && !replaying_))
        return ended_ && !in.empty() ? Fail("bytes follow the end") : result;
    }
  }

  Result End() override {
    if (denied_) {
      error_ = absl::StrCat("more than ", large_, " decoded bytes at once from ", taken_, " received ones");
      return Result::kLimit;
    }
    return ended_ || taken_ == 0 ? Result::kOk : Fail(std::string(kCut));
  }
  size_t memory() const override { return allocated_ + kept_.capacity(); }

 private:
  // The largest ring buffer but one.
  static constexpr size_t kSecondLargest = 8 * 1024 * 1024;
  // Each block is preceded by its size, so that what is held is known.
  static constexpr size_t kBlockHead = alignof(std::max_align_t);
  // What a ring buffer has beyond its size.
  static constexpr size_t kRingSlack = 64 * 1024;

  static void* Allocate(void* self, size_t size) {
    auto& decoder = *static_cast<BrotliDecoder*>(self);
    if (size > decoder.large_ + kRingSlack && decoder.taken_ < decoder.proof_) {
      decoder.denied_ = true;
      return nullptr;
    }
    auto* block = static_cast<char*>(std::malloc(size + kBlockHead));
    if (block == nullptr) return nullptr;
    *reinterpret_cast<size_t*>(block) = size;
    decoder.allocated_ += size;
    return block + kBlockHead;
  }
  static void Free(void* self, void* at) {
    if (at == nullptr) return;
    char* block = static_cast<char*>(at) - kBlockHead;
    static_cast<BrotliDecoder*>(self)->allocated_ -= *reinterpret_cast<size_t*>(block);
    std::free(block);
  }

  // `n` bytes of the input are used, and kept as long as they may be needed again.
  void Take(std::string_view& in, size_t n) {
    if (may_be_large_ && (denied_ || taken_ < proof_)) kept_.append(in.substr(0, n));
    taken_ += n;
    in.remove_prefix(n);
    if (!denied_ && taken_ >= proof_) kept_ = {};
  }
  void StartOver() {
    BrotliDecoderDestroyInstance(state_);
    state_ = BrotliDecoderCreateInstance(&Allocate, &Free, this);
    denied_ = false;
    replaying_ = true;
    skip_ = made_;
  }
  void EndReplay() {
    replaying_ = false;
    kept_ = {};
  }

  // Without what had come out before the decoding started over.
  Result Run(std::string_view& from, std::span<char>& out) {
    BrotliDecoderResult result;
    do {
      char again[4096];
      const std::span<char> to = skip_ > 0 ? std::span(again).first(std::min<uint64_t>(skip_, sizeof(again))) : out;
      size_t in_left = from.size(), out_left = to.size();
      auto* next_in = reinterpret_cast<const uint8_t*>(from.data());
      auto* next_out = reinterpret_cast<uint8_t*>(to.data());
      result = BrotliDecoderDecompressStream(state_, &in_left, &next_in, &out_left, &next_out, nullptr);
      from.remove_prefix(from.size() - in_left);
      const size_t made = to.size() - out_left;
      if (skip_ > 0) {
        skip_ -= made;
      } else {
        made_ += made;
        out = out.subspan(made);
      }
    } while (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT && !out.empty());
    if (result == BROTLI_DECODER_RESULT_ERROR)
      return Fail(absl::StrCat("malformed data, ", BrotliDecoderErrorString(BrotliDecoderGetErrorCode(state_))));
    ended_ = result == BROTLI_DECODER_RESULT_SUCCESS;
    return Result::kOk;
  }

  Result Fail(std::string error) {
    error_ = std::move(error);
    return Result::kInvalid;
  }

  const size_t large_;
  const uint64_t proof_;
  size_t allocated_ = 0;
  BrotliDecoderState* state_ = nullptr;
  // The first byte says that the window is 16 MiB (RFC 7932 section 9.1), or more is large than that.
  bool may_be_large_ = false;
  bool denied_ = false;
  bool replaying_ = false;
  bool ended_ = false;
  uint64_t taken_ = 0;
  uint64_t made_ = 0;
  // Bytes that came out before, and come out again.
  uint64_t skip_ = 0;
  std::string kept_;
  size_t replayed_ = 0;
};

class ZstdDecoder final : public ContentDecoder {
 public:
  explicit ZstdDecoder(const DecoderLimits& limits)
      : max_frames_(limits.max_members), window_(uint64_t{1} << limits.max_window_log), stream_(ZSTD_createDStream()) {
    if (stream_ != nullptr) ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, limits.max_window_log);
  }
  ZstdDecoder(const ZstdDecoder&) = delete;
  ZstdDecoder& operator=(const ZstdDecoder&) = delete;
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }

  Result Decode(std::string_view& in, std::span<char>& out) override {
    if (stream_ == nullptr) return Fail(Result::kInvalid, "no memory");
    while (!in.empty() || inside_) {
      const bool begins = !inside_;
      if (begins) {
        if (magic_size_ == 0 && ++frames_ > max_frames_)
          return Fail(Result::kLimit, absl::StrCat("more than ", max_frames_, " frames"));
        if (!TakeMagic(in)) return Fail(Result::kInvalid, "no frame of zstd");
        if (magic_size_ < kMagicSize) return Result::kOk;
        magic_size_ = 0;
        inside_ = true;
      }
      // A frame that it is given whole, with room for all of it, zstd decodes without a look at its window, and takes
      // for the whole what follows the part of the header that it had before. So a header's bytes come one by one.
      const std::string_view given =
          begins ? std::string_view(magic_, kMagicSize) : in.substr(0, header_left_ > 0 ? 1 : in.npos);
      ZSTD_inBuffer from{given.data(), given.size(), 0};
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      const size_t code = ZSTD_decompressStream(stream_, &to, &from);
      if (begins) {
        header_left_ = kMostOfHeader;
      } else {
        in.remove_prefix(from.pos);
        header_left_ -= std::min<size_t>(header_left_, from.pos);
      }
      out = out.subspan(to.pos);
      if (ZSTD_isError(code)) return FailBy(code);
      if (code == 0) {
        inside_ = false;
      } else if (in.empty()) {
        break;
      }
      if (out.empty()) break;
    }
    return Result::kOk;
  }

  Result End() override { return inside_ || magic_size_ > 0 ? Fail(Result::kInvalid, std::string(kCut)) : Result::kOk; }
  size_t memory() const override { return stream_ == nullptr ? 0 : ZSTD_sizeof_DStream(stream_); }

 private:
  static constexpr uint8_t kMagicSize = 4;
  // Bytes of a frame's header after its magic number, at most.
  static constexpr size_t kMostOfHeader = 14;

  // The first bytes of a frame, as far as they have come. False if they begin none of RFC 8878 section 3.1: Debian's
  // zstd also takes frames of its versions before 0.8, and does not bound their windows.
  bool TakeMagic(std::string_view& in) {
    constexpr std::string_view kFrame = "\x28\xb5\x2f\xfd", kSkippable = "\x50\x2a\x4d\x18";
    while (magic_size_ < kMagicSize && !in.empty()) {
      const char c = in.front();
      in.remove_prefix(1);
      magic_[magic_size_++] = c;
      // The lower half of a skippable frame's first byte is free.
      const bool skippable = static_cast<uint8_t>(magic_[0] & 0xf0) == 0x50;
      const std::string_view expected = skippable ? kSkippable : kFrame;
      if (c != expected[magic_size_ - 1] && !(skippable && magic_size_ == 1)) return false;
    }
    return true;
  }

  Result FailBy(size_t code) {
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
      return Fail(Result::kLimit, absl::StrCat("a window of more than ", window_, " bytes"));
    return Fail(Result::kInvalid, ZSTD_getErrorName(code));
  }
  Result Fail(Result result, std::string error) {
    error_ = std::move(error);
    return result;
  }

  const uint32_t max_frames_;
  const uint64_t window_;
  ZSTD_DStream* const stream_;
  uint32_t frames_ = 0;
  // Of the frame that begins; it is not inside yet.
  char magic_[kMagicSize] = {};
  uint8_t magic_size_ = 0;
  // What may be left of a header.
  size_t header_left_ = 0;
  bool inside_ = false;
};

}  // namespace

std::unique_ptr<ContentDecoder> ContentDecoder::Make(ContentCoding coding, const DecoderLimits& limits) {
  switch (coding) {
    case ContentCoding::kBrotli:
      return std::make_unique<BrotliDecoder>(limits);
    case ContentCoding::kZstd:
      return std::make_unique<ZstdDecoder>(limits);
    case ContentCoding::kDeflate:
      return std::make_unique<InflateDecoder>(/*gzip=*/false, limits.max_members);
    case ContentCoding::kGzip:
      break;
  }
  return std::make_unique<InflateDecoder>(/*gzip=*/true, limits.max_members);
}

LayeredDecoder::LayeredDecoder(CodingList codings, const DecoderLimits& limits)
    : limits_(limits), count_(codings.size) {
  for (size_t i = 0; i < count_; ++i) {
    Stage& stage = stages_[i];
    stage.coding = codings.codings[count_ - 1 - i];
    stage.decoder = ContentDecoder::Make(stage.coding, limits);
    if (i > 0) stage.buffer = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  }
}

Result LayeredDecoder::Decode(std::string_view& in, std::span<char>& out) { return Pull(count_ - 1, in, out); }

Result LayeredDecoder::Pull(size_t i, std::string_view& in, std::span<char>& out) {
  Stage& stage = stages_[i];
  for (;;) {
    std::string_view& input = i == 0 ? in : stage.input;
    const size_t offered = input.size(), room = out.size();
    const Result result = stage.decoder->Decode(input, out);
    if (i == 0) taken_ += offered - input.size();
    stage.made += room - out.size();
    if (result != Result::kOk) {
      error_ = Concat(ToString(stage.coding), ": ", stage.decoder->error());
      return result;
    }
    if (stage.made > limits_.free_bytes && stage.made > limits_.max_ratio * taken_) {
      error_ =
          Concat(ToString(stage.coding), ": more than ", limits_.max_ratio, " decoded bytes for each received one");
      return Result::kLimit;
    }
    if (i == 0 || out.empty()) return Result::kOk;
    std::span<char> refill(stage.buffer.get(), kBufferBytes);
    const Result more = Pull(i - 1, in, refill);
    if (more != Result::kOk) return more;
    stage.input = {stage.buffer.get(), kBufferBytes - refill.size()};
    if (stage.input.empty()) return Result::kOk;
  }
}

Result LayeredDecoder::End() {
  for (size_t i = 0; i < count_; ++i) {
    const Result result = stages_[i].decoder->End();
    if (result == Result::kOk) continue;
    error_ = Concat(ToString(stages_[i].coding), ": ", stages_[i].decoder->error());
    return result;
  }
  return Result::kOk;
}

size_t LayeredDecoder::memory() const {
  size_t sum = 0;
  for (size_t i = 0; i < count_; ++i) sum += stages_[i].decoder->memory() + (i > 0 ? kBufferBytes : 0);
  return sum;
}

}  // namespace fetchd::server
