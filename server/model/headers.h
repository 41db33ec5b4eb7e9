// Header and trailer fields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fetchd::server {

// One field of a block, as views into it.
struct HeaderView {
  std::string_view name;
  std::string_view value;
  // The value must not appear in a log.
  bool sensitive = false;
};

// An ordered list of fields (RFC 9110 section 5) in two allocations, whatever their number. Names are stored in lower
// case, values byte for byte. A plain value type; views into it live until it is changed or destroyed.
class Headers {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = HeaderView;
    using difference_type = std::ptrdiff_t;
    using pointer = const HeaderView*;
    using reference = HeaderView;
    Iterator(const Headers* headers, size_t i) : headers_(headers), i_(i) {}
    HeaderView operator*() const { return (*headers_)[i_]; }
    Iterator& operator++() { return ++i_, *this; }
    Iterator operator++(int) {
      auto old = *this;
      ++i_;
      return old;
    }
    bool operator==(const Iterator& other) const { return i_ == other.i_; }

   private:
    const Headers* headers_;
    size_t i_;
  };

  // Appends a field; the name is lowered. `sensitive` is also set for names that are always secret (IsSecretName).
  void Add(std::string_view name, std::string_view value, bool sensitive = false);
  void Clear();
  void Reserve(size_t fields, size_t bytes);

  // Inline: every reader of a block goes through here.
  HeaderView operator[](size_t i) const {
    const Field& f = fields_[i];
    const char* const name = text_.data() + f.name;
    return {{name, f.name_size}, {name + f.name_size, f.value_size}, f.sensitive};
  }
  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  // Names and values together, without separators.
  size_t bytes() const { return text_.size(); }
  // All names and values in order, without separators: for checks of every byte at once.
  std::string_view text() const { return text_; }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, fields_.size()}; }

  // The first value of a field; `name` in lower case.
  std::optional<std::string_view> Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name).has_value(); }
  // Takes out every field of that name (lower case). Linear.
  void Remove(std::string_view name);

 private:
  struct Field {
    uint32_t name;
    uint32_t name_size;
    uint32_t value_size;
    bool sensitive;
  };
  std::string text_;
  std::vector<Field> fields_;
};

// authorization, proxy-authorization, cookie, set-cookie, x-api-key: secret without being marked. `name` in lower case.
bool IsSecretName(std::string_view name);

}  // namespace fetchd::server
