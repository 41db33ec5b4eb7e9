// The caller's side of a response, in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http/body_io.h"

namespace fetchd::server {

// Collects a response. By default it takes everything; with SetCredit it takes so many bytes and then waits for more.
class MemorySink final : public ResponseSink {
 public:
  explicit MemorySink(Executor executor) : writable_(std::move(executor)) {}

  void SetCredit(uint64_t bytes) { credit_ = bytes; }
  void GiveCredit(uint64_t bytes) {
    credit_ = credit_.value_or(0) + bytes;
    writable_.Set();
  }
  // Buffers of at most `n` bytes are prepared.
  void LimitBuffers(size_t n) { max_buffer_ = n; }

  int heads() const { return heads_; }
  const ResponseHead& head() const { return head_; }
  const std::string& body() const { return body_; }
  // Prepare gave nothing at least once.
  bool starved() const { return starved_; }

  void OnHead(ResponseHead head) override {
    ++heads_;
    head_ = std::move(head);
  }
  std::span<char> Prepare(size_t want) override {
    size_t n = std::min<uint64_t>({want, max_buffer_, credit_.value_or(UINT64_MAX)});
    if (n == 0) {
      starved_ = true;
      return {};
    }
    buffer_.resize(n);
    return buffer_;
  }
  void Commit(size_t n) override {
    body_.append(buffer_.data(), n);
    if (credit_) *credit_ -= n;
  }
  Event& Writable() override { return writable_; }

 private:
  Event writable_;
  std::optional<uint64_t> credit_;
  size_t max_buffer_ = 64 * 1024;
  bool starved_ = false;
  int heads_ = 0;
  ResponseHead head_;
  std::string buffer_;
  std::string body_;
};

// A streamed request body, fed by the test.
class MemoryRequestBody final : public RequestBody {
 public:
  MemoryRequestBody(Executor executor, std::optional<uint64_t> length)
      : readable_(std::move(executor)), length_(length) {}

  void Feed(std::string_view bytes) {
    data_ += bytes;
    readable_.Set();
  }
  void End() { Finish(State::kEnd); }
  void Break() { Finish(State::kFailed); }
  uint64_t consumed() const { return consumed_; }

  std::optional<uint64_t> length() const override { return length_; }
  State Peek(std::string_view& piece) override {
    if (data_.empty()) return end_;
    piece = data_;
    return State::kData;
  }
  void Consume(size_t n) override {
    data_.erase(0, n);
    consumed_ += n;
  }
  Event& Readable() override { return readable_; }

 private:
  void Finish(State state) {
    end_ = state;
    readable_.Set();
  }
  Event readable_;
  std::optional<uint64_t> length_;
  std::string data_;
  uint64_t consumed_ = 0;
  State end_ = State::kWait;
};

}  // namespace fetchd::server
