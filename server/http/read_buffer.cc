#include "http/read_buffer.h"

#include <cstring>
#include <utility>

namespace fetchd::server {

void ReadBuffer::Consume(size_t n) {
  begin_ += n;
  if (begin_ == end_) begin_ = end_ = 0;
}

std::span<char> ReadBuffer::Space() {
  if (capacity_ == 0) Resize(kInitial);
  // Less than half free at the back: make room by moving, or if that does not help by growing.
  if (begin_ > 0 && capacity_ - end_ < capacity_ / 2) {
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  if (end_ == capacity_) Resize(capacity_ * 2);
  return {data_.get() + end_, capacity_ - end_};
}

void ReadBuffer::Widen() {
  if (capacity_ < kMax) Resize(capacity_ == 0 ? kInitial : capacity_ * 2);
}

void ReadBuffer::Release() {
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

void ReadBuffer::Resize(size_t capacity) {
  // Not make_unique: it would clear memory that the next read overwrites.
  std::unique_ptr<char[]> wider(new char[capacity]);
  size_t used = end_ - begin_;
  if (used > 0) std::memcpy(wider.get(), data_.get() + begin_, used);
  data_ = std::move(wider);
  capacity_ = capacity;
  begin_ = 0;
  end_ = used;
}

}  // namespace fetchd::server
