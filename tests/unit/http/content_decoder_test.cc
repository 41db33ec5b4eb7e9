#include "http/content_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "coded.h"

namespace fetchd::server {
namespace {

using Result = ContentDecoder::Result;
using enum ContentCoding;

CodingList List(std::initializer_list<ContentCoding> codings) {
  CodingList list;
  for (const ContentCoding coding : codings) list.codings[list.size++] = coding;
  return list;
}

struct Decoded {
  Result result = Result::kOk;
  Result end = Result::kOk;
  bool complete = false;
  std::string body;
  std::string error;
  bool operator==(const Decoded&) const = default;
};

// Feeds pieces of `in_step` bytes and takes pieces of at most `out_step`.
Decoded Decode(CodingList codings, std::string_view coded, size_t in_step, size_t out_step,
               const DecoderLimits& limits = {}) {
  LayeredDecoder decoder(codings, limits);
  Decoded decoded;
  std::string room(out_step, '\0');
  while (decoded.result == Result::kOk && !coded.empty()) {
    std::string_view piece = coded.substr(0, in_step);
    coded.remove_prefix(piece.size());
    for (;;) {
      std::span<char> out(room);
      decoded.result = decoder.Decode(piece, out);
      decoded.body.append(room.data(), room.size() - out.size());
      if (decoded.result != Result::kOk || !out.empty()) break;
    }
    if (decoded.result == Result::kOk) {
      EXPECT_TRUE(piece.empty());
    }
  }
  if (decoded.result == Result::kOk) {
    decoded.end = decoder.End();
    decoded.complete = decoded.end == Result::kOk;
  }
  if (!decoded.complete) decoded.error = decoder.error();
  return decoded;
}

Decoded DecodeAll(CodingList codings, std::string_view coded, const DecoderLimits& limits = {}) {
  return Decode(codings, coded, coded.size(), 256 * 1024, limits);
}

std::string Text(size_t size) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < size) text += std::to_string(random()) + " words and more words\n";
  text.resize(size);
  return text;
}

struct Sample {
  const char* name;
  ContentCoding coding;
  std::string (*encode)(std::string_view);
};
const Sample kSamples[] = {
    {"gzip", kGzip, Gzip},    {"gzip with all fields", kGzip, GzipWithAllFields},
    {"zlib", kDeflate, Zlib}, {"bare deflate", kDeflate, BareDeflate},
    {"br", kBrotli, Brotli},  {"zstd", kZstd, [](std::string_view text) { return Zstd(text); }},
};

TEST(ContentDecoder, HoweverItIsCutTheBodyIsTheSame) {
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(sample.name);
    for (const size_t size : {0, 1, 5, 300, 70'000}) {
      const std::string text = Text(size);
      const std::string coded = sample.encode(text);
      const Decoded whole = DecodeAll(List({sample.coding}), coded);
      EXPECT_EQ(whole.body, text);
      EXPECT_TRUE(whole.complete) << size << whole.error;
      for (const size_t step : {1, 2, 7, 1000}) {
        EXPECT_EQ(Decode(List({sample.coding}), coded, step, 256 * 1024), whole);
        EXPECT_EQ(Decode(List({sample.coding}), coded, coded.size(), step), whole);
      }
      EXPECT_EQ(Decode(List({sample.coding}), coded, 1, 1), whole);
    }
  }
}

TEST(ContentDecoder, EveryPlaceToStopBeforeTheEndIsIncomplete) {
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(sample.name);
    const std::string coded = sample.encode(Text(300));
    for (size_t cut = 1; cut < coded.size(); ++cut) {
      EXPECT_FALSE(DecodeAll(List({sample.coding}), coded.substr(0, cut)).complete) << cut;
      EXPECT_FALSE(Decode(List({sample.coding}), coded.substr(0, cut), 1, 64).complete) << cut;
    }
  }
}

TEST(ContentDecoder, NoBytesAtAllAreComplete) {
  for (const Sample& sample : kSamples) EXPECT_TRUE(DecodeAll(List({sample.coding}), "").complete) << sample.name;
  EXPECT_TRUE(DecodeAll(List({kGzip, kBrotli, kZstd}), "").complete);
}

TEST(ContentDecoder, BytesAfterTheEndAreRefused) {
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(sample.name);
    for (const std::string& more : {std::string(1, '\0'), std::string("garbage and more of it")}) {
      const std::string coded = sample.encode("text") + more;
      // One byte may still be the begin of another member.
      EXPECT_FALSE(DecodeAll(List({sample.coding}), coded).complete);
      EXPECT_FALSE(Decode(List({sample.coding}), coded, 1, 1).complete);
      if (more.size() > 4) {
        EXPECT_EQ(DecodeAll(List({sample.coding}), coded).result, Result::kInvalid);
      }
    }
  }
}

TEST(ContentDecoder, EveryFlippedBitOfAChecksummedBodyIsSeen) {
  for (const Sample& sample : {kSamples[0], kSamples[2], kSamples[5]}) {
    SCOPED_TRACE(sample.name);
    const std::string text = Text(100);
    const std::string coded = sample.encode(text);
    // Of a gzip header the last six bytes (time, flags of the compressor, system) say nothing of the body.
    for (size_t i = sample.coding == kGzip ? 10 : 0; i < coded.size(); ++i) {
      std::string broken = coded;
      broken[i] = static_cast<char>(broken[i] ^ 0x10);
      const Decoded decoded = DecodeAll(List({sample.coding}), broken);
      EXPECT_FALSE(decoded.complete && decoded.body != text) << i;
    }
  }
}

TEST(ContentDecoder, MalformedBodiesSayWhatIsWrong) {
  const Decoded plain = DecodeAll(List({kGzip}), "<html>not compressed</html>");
  EXPECT_EQ(plain.result, Result::kInvalid);
  EXPECT_EQ(plain.error, "gzip: incorrect header check");
  std::string crc = Gzip("text");
  crc[crc.size() - 5] ^= 1;
  EXPECT_EQ(DecodeAll(List({kGzip}), crc).error, "gzip: incorrect data check");
  EXPECT_EQ(DecodeAll(List({kBrotli}), "\xff\xff\xff\xff\xff").result, Result::kInvalid);
  EXPECT_EQ(DecodeAll(List({kZstd}), "not zstd").result, Result::kInvalid);
  EXPECT_EQ(DecodeAll(List({kDeflate}), "\x07 a block type that is none").result, Result::kInvalid);
  // A zlib header that asks for a dictionary.
  EXPECT_EQ(DecodeAll(List({kDeflate}), "\x78\x20\x01\x02\x03\x04\x05\x06").error, "deflate: it needs a dictionary");
}

TEST(ContentDecoder, MembersAndFramesFollowEachOther) {
  EXPECT_EQ(DecodeAll(List({kGzip}), Gzip("one ") + Gzip("") + GzipWithAllFields("two")).body, "one two");
  // A skippable frame (RFC 8878 section 3.1.2) of four bytes in between.
  const std::string skipped("\x50\x2a\x4d\x18\x04\x00\x00\x00skip", 12);
  const std::string frames = Zstd("one ") + skipped + Zstd("two");
  EXPECT_EQ(DecodeAll(List({kZstd}), frames).body, "one two");
  EXPECT_EQ(Decode(List({kZstd}), frames, 1, 1).body, "one two");
  EXPECT_TRUE(DecodeAll(List({kZstd}), frames).complete);
}

TEST(ContentDecoder, SoManyMembersAndNoMore) {
  DecoderLimits limits;
  limits.max_members = 10;
  for (const auto& [coding, member] : {std::pair(kGzip, Gzip("x")), std::pair(kZstd, Zstd("x"))}) {
    for (const size_t count : {9, 10, 11}) {
      std::string coded;
      for (size_t i = 0; i < count; ++i) coded += member;
      for (const size_t step : {size_t{1}, coded.size()}) {
        const Decoded decoded = Decode(List({coding}), coded, step, 100, limits);
        EXPECT_EQ(decoded.result, count <= 10 ? Result::kOk : Result::kLimit);
        EXPECT_EQ(decoded.body, std::string(std::min<size_t>(count, 10), 'x'));
      }
    }
  }
}

TEST(ContentDecoder, TheRatioCountsBeyondTheFreeBytes) {
  DecoderLimits limits;
  limits.free_bytes = 50'000;
  for (const Sample& sample : kSamples) {
    SCOPED_TRACE(sample.name);
    for (const size_t size : {49'999, 50'000, 50'001}) {
      const std::string coded = sample.encode(std::string(size, 'a'));
      ASSERT_LT(coded.size() * 100, size);
      for (const size_t step : {size_t{1}, coded.size()}) {
        const Decoded decoded = Decode(List({sample.coding}), coded, step, 1 << 20, limits);
        EXPECT_EQ(decoded.result, size <= 50'000 ? Result::kOk : Result::kLimit) << size;
      }
    }
  }
  // Just at the ratio, and just above it.
  const std::string coded = Gzip(std::string(60'000, 'a'));
  limits.max_ratio = 60'000 / coded.size();
  EXPECT_EQ(DecodeAll(List({kGzip}), coded, limits).result, Result::kLimit);
  limits.max_ratio += 1;
  EXPECT_EQ(DecodeAll(List({kGzip}), coded, limits).result, Result::kOk);
}

TEST(ContentDecoder, TheRatioHoldsForEveryCodingOfSeveral) {
  // Two million empty stored blocks: nothing comes out at the end, and much in between.
  std::string blocks;
  for (int i = 0; i < 2'000'000; ++i) blocks += std::string_view("\x00\x00\x00\xff\xff", 5);
  const Decoded decoded = DecodeAll(List({kDeflate, kGzip}), Gzip(blocks));
  EXPECT_EQ(decoded.result, Result::kLimit);
  EXPECT_EQ(decoded.error, "gzip: more than 100 decoded bytes for each received one");
}

TEST(ContentDecoder, AZstdWindowOfEightMiBAndNoLarger) {
  for (const int log : {22, 23, 24}) {
    const std::string coded = Zstd("small, whatever the window", log);
    for (const size_t step : {size_t{1}, size_t{2}, coded.size()}) {
      const Decoded decoded = Decode(List({kZstd}), coded, step, 1000);
      EXPECT_EQ(decoded.result, log <= 23 ? Result::kOk : Result::kLimit) << log << " " << step;
      if (log == 24) {
        EXPECT_EQ(decoded.error, "zstd: a window of more than 8388608 bytes");
      }
    }
  }
}

TEST(ContentDecoder, AFrameOfZstdBeginsAsItMust) {
  const std::string frame = Zstd("hello", 20), skippable = {0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'};
  for (const size_t step : {1, 3, 5, 100}) {
    const Decoded decoded = Decode(List({kZstd}), skippable + frame + skippable, step, 1000);
    EXPECT_TRUE(decoded.complete) << step;
    EXPECT_EQ(decoded.body, "hello");
    // As version 0.7 began it, which the library would take, also from its second byte.
    for (const char* first : {"\x27", "\x28\x27", "\x5a\x2b", "\x28\xb5\x2f\xfe"}) {
      const Decoded old = Decode(List({kZstd}), first + std::string("\xb5\x2f\xfd") + frame, step, 1000);
      EXPECT_EQ(old.result, Result::kInvalid) << step;
      EXPECT_EQ(old.error, "zstd: no frame of zstd");
    }
    EXPECT_FALSE(Decode(List({kZstd}), frame + frame.substr(0, 3), step, 1000).complete);
  }
}

TEST(ContentDecoder, ALargeBrotliWindowIsGivenToThoseWhoHaveSentEnoughForIt) {
  // Nothing before its first 16 MiB can be given out in part: the encoder makes one meta-block of it.
  const std::string noise = Text(12 << 20);
  const std::string large = Brotli(noise, 24);
  ASSERT_EQ(large[0] & 0x0f, 0x0f);
  const Decoded whole = DecodeAll(List({kBrotli}), large);
  EXPECT_TRUE(whole.complete) << whole.error;
  EXPECT_EQ(whole.body, noise);
  for (const size_t step : {333, 100'000}) EXPECT_EQ(Decode(List({kBrotli}), large, step, 10'000), whole);
  // The same after a part that was flushed by itself, and was given out.
  const std::string flushed = Brotli(noise, 24, /*flush_after=*/1000);
  for (const size_t step : {size_t{333}, flushed.size()})
    EXPECT_EQ(Decode(List({kBrotli}), flushed, step, 10'000), whole);

  for (const std::string& bomb :
       {Brotli(std::string(12 << 20, 'a'), 24), Brotli(std::string(12 << 20, 'a'), 24, 1000)}) {
    for (const size_t step : {size_t{1}, bomb.size()}) {
      const Decoded refused = Decode(List({kBrotli}), bomb, step, 10'000);
      EXPECT_FALSE(refused.complete);
      EXPECT_TRUE(refused.result == Result::kLimit || refused.end == Result::kLimit) << refused.error;
      EXPECT_LE(refused.body.size(), 1000u);
    }
  }
  const Decoded cut = DecodeAll(List({kBrotli}), large.substr(0, large.size() - 1));
  EXPECT_EQ(cut.end, Result::kInvalid);
  EXPECT_EQ(DecodeAll(List({kBrotli}), large + "x").result, Result::kInvalid);
}

TEST(LayeredDecoder, UndoesTheLastCodingFirst) {
  const std::string text = Text(100'000);
  const std::string coded = Zstd(Brotli(Gzip(text)));
  for (const auto& [in, out] : {std::pair<size_t, size_t>(coded.size(), 1 << 20), {1, 1 << 20}, {1000, 7}}) {
    const Decoded decoded = Decode(List({kGzip, kBrotli, kZstd}), coded, in, out);
    EXPECT_EQ(decoded.body, text);
    EXPECT_TRUE(decoded.complete);
  }
  EXPECT_EQ(DecodeAll(List({kZstd, kBrotli, kGzip}), coded).result, Result::kInvalid);
}

TEST(LayeredDecoder, AnInnerBodyThatIsCutIsIncomplete) {
  const std::string inner = Gzip(Text(1000));
  for (const size_t cut : {size_t{1}, inner.size() / 2, inner.size() - 1})
    EXPECT_FALSE(DecodeAll(List({kGzip, kBrotli}), Brotli(inner.substr(0, cut))).complete);
  EXPECT_TRUE(DecodeAll(List({kGzip, kBrotli}), Brotli(inner)).complete);
  EXPECT_TRUE(DecodeAll(List({kGzip, kBrotli}), Brotli("")).complete);
}

TEST(LayeredDecoder, KnowsWhatItHolds) {
  LayeredDecoder decoder(List({kGzip, kZstd}), {});
  const size_t before = decoder.memory();
  const std::string coded = Zstd(Gzip("text"), 23);
  std::string_view in = coded;
  char room[16];
  std::span<char> out(room);
  EXPECT_EQ(decoder.Decode(in, out), Result::kOk);
  EXPECT_GT(decoder.memory(), before + (8 << 20));
}

}  // namespace
}  // namespace fetchd::server
