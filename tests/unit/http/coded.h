// Coded bodies, as origins make them.
#pragma once

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <string_view>

namespace fetchd::server {

// `window_bits` as for deflateInit2: 31 gzip, 15 zlib, -15 bare.
inline std::string Deflate(std::string_view text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
inline std::string Gzip(std::string_view text) { return Deflate(text, 31); }
inline std::string Zlib(std::string_view text) { return Deflate(text, 15); }
inline std::string BareDeflate(std::string_view text) { return Deflate(text, -15); }

// A gzip member with everything a header may have (RFC 1952 section 2.3): extra field, name, comment, checksum.
inline std::string GzipWithAllFields(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY);
  gz_header header{};
  std::string extra = "extra", name = "name", comment = "comment";
  header.extra = reinterpret_cast<Bytef*>(extra.data());
  header.extra_len = static_cast<uInt>(extra.size());
  header.name = reinterpret_cast<Bytef*>(name.data());
  header.comment = reinterpret_cast<Bytef*>(comment.data());
  header.hcrc = 1;
  deflateSetHeader(&stream, &header);
  std::string out(text.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// With a window of 2^`window_log` bytes. The first `flush_after` bytes, if any, can be decoded without those that
// follow.
inline std::string Brotli(std::string_view text, int window_log, size_t flush_after = 0) {
  BrotliEncoderState* state = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
  BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, 5);
  BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, static_cast<uint32_t>(window_log));
  std::string out(BrotliEncoderMaxCompressedSize(text.size()) + 4096, '\0');
  size_t room = out.size();
  auto* to = reinterpret_cast<uint8_t*>(out.data());
  const auto encode = [&](std::string_view part, BrotliEncoderOperation operation) {
    size_t left = part.size();
    auto* from = reinterpret_cast<const uint8_t*>(part.data());
    do {
      BrotliEncoderCompressStream(state, operation, &left, &from, &room, &to, nullptr);
    } while (left > 0 || BrotliEncoderHasMoreOutput(state));
  };
  if (flush_after > 0) encode(text.substr(0, flush_after), BROTLI_OPERATION_FLUSH);
  encode(text.substr(flush_after), BROTLI_OPERATION_FINISH);
  BrotliEncoderDestroyInstance(state);
  out.resize(out.size() - room);
  return out;
}
inline std::string Brotli(std::string_view text) { return Brotli(text, 22); }

// A frame that does not say how long its content is, with a window of 2^`window_log` bytes, as a stream has.
inline std::string Zstd(std::string_view text, int window_log = 20) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 9);
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_inBuffer from{text.data(), text.size(), 0};
  ZSTD_compressStream2(context, &to, &from, ZSTD_e_continue);
  ZSTD_compressStream2(context, &to, &from, ZSTD_e_end);
  out.resize(to.pos);
  ZSTD_freeCCtx(context);
  return out;
}

}  // namespace fetchd::server
