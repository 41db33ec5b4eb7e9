#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace fetchd {

// A single-pass input range of the values a server streams, each an absl::StatusOr<T>.
//
//   for (absl::StatusOr<v1::BatchResult>& result : client.Batch(request)) {
//     if (!result.ok()) return result.status();
//     ...
//   }
//
// A value that is not OK is the last one and says how the RPC ended; an RPC that ended with OK ends the range without
// one. Nothing is read ahead: each step of the iterator reads when it is taken and blocks until the value is there.
// Destroying the range before its end cancels the RPC. Moving it invalidates its iterators. One thread at a time.
template <typename T>
class StreamRange {
 public:
  // Gives the next value, or nullopt at the end. Not called again after nullopt or a value that is not OK: it is
  // destroyed then, or together with the range, and must cancel what it still has under way.
  using Source = absl::AnyInvocable<std::optional<absl::StatusOr<T>>()>;

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = absl::StatusOr<T>;
    using difference_type = std::ptrdiff_t;
    using pointer = value_type*;
    using reference = value_type&;

    iterator() = default;

    // The value; it may be moved from.
    reference operator*() const { return *range_->current_; }
    pointer operator->() const { return &*range_->current_; }
    iterator& operator++() {
      range_->current_ = range_->Next();
      if (!range_->current_.has_value()) range_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    // Only whether both are at the end, as for any single-pass range.
    friend bool operator==(const iterator& a, const iterator& b) { return a.range_ == b.range_; }
    friend bool operator!=(const iterator& a, const iterator& b) { return !(a == b); }

   private:
    friend class StreamRange;
    explicit iterator(StreamRange* range) : range_(range) {}

    StreamRange* range_ = nullptr;
  };

  // An empty range.
  StreamRange() = default;
  explicit StreamRange(Source source) : source_(std::move(source)) {}
  StreamRange(StreamRange&&) noexcept = default;
  StreamRange& operator=(StreamRange&&) noexcept = default;

  // Reads the first value, unless an earlier begin() did.
  iterator begin() {
    if (!begun_) {
      begun_ = true;
      current_ = Next();
    }
    return current_.has_value() ? iterator(this) : iterator();
  }
  iterator end() { return iterator(); }

  // The next value, or nullopt at the end: for loops that a range-for does not fit. Not to be mixed with iterators.
  std::optional<absl::StatusOr<T>> Next() {
    if (source_ == nullptr) return std::nullopt;
    std::optional<absl::StatusOr<T>> next = source_();
    if (!next.has_value() || !next->ok()) source_ = nullptr;
    return next;
  }

 private:
  Source source_;
  std::optional<absl::StatusOr<T>> current_;
  bool begun_ = false;
};

}  // namespace fetchd
