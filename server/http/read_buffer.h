// What was read from a connection and not yet used.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace fetchd::server {

// A flat buffer of bytes, filled at the back and used up at the front. One for each connection in use; an idle
// connection gives its memory back (Release). Not thread-safe.
class ReadBuffer {
 public:
  // One read of this size brings most small responses whole; a malloc of it is no mmap.
  static constexpr size_t kInitial = 16 * 1024;
  // Chunked bodies are copied out of here, so more than this buys nothing.
  static constexpr size_t kMax = 256 * 1024;

  ReadBuffer() = default;
  ReadBuffer(ReadBuffer&&) = default;
  ReadBuffer& operator=(ReadBuffer&&) = default;

  std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  // The first `n` bytes are used.
  void Consume(size_t n);
  // Room at the back, never empty: unused bytes are moved to the front, and the buffer doubles if it is full.
  // Invalidates bytes().
  std::span<char> Space();
  // `n` bytes of Space() were filled.
  void Commit(size_t n) { end_ += n; }
  // Doubles the buffer up to kMax, for a peer that fills it with each read. Invalidates bytes().
  void Widen();
  // Frees the memory, and drops what is in it.
  void Release();
  size_t capacity() const { return capacity_; }

 private:
  void Resize(size_t capacity);
  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace fetchd::server
