#include "model/headers.h"

#include <utility>

#include "base/text.h"

namespace fetchd::server {
namespace {

// Room for the head of a common response, taken at once rather than by growing step by step.
constexpr size_t kFirstFields = 8;
constexpr size_t kFirstBytes = 256;

}  // namespace

bool IsSecretName(std::string_view name) {
  return name == "authorization" || name == "proxy-authorization" || name == "cookie" || name == "set-cookie" ||
         name == "x-api-key";
}

void Headers::Add(std::string_view name, std::string_view value, bool sensitive) {
  if (fields_.capacity() == 0) Reserve(kFirstFields, kFirstBytes);
  size_t at = text_.size();
  text_.append(name);
  for (size_t i = at; i < text_.size(); ++i) text_[i] = Lower(text_[i]);
  sensitive = sensitive || IsSecretName(std::string_view(text_).substr(at));
  text_.append(value);
  fields_.push_back(
      {static_cast<uint32_t>(at), static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size()), sensitive});
}

void Headers::Clear() {
  text_.clear();
  fields_.clear();
}

void Headers::Reserve(size_t fields, size_t bytes) {
  fields_.reserve(fields);
  text_.reserve(bytes);
}

std::optional<std::string_view> Headers::Find(std::string_view name) const {
  for (HeaderView field : *this)
    if (field.name == name) return field.value;
  return std::nullopt;
}

void Headers::Remove(std::string_view name) {
  if (!Has(name)) return;
  Headers kept;
  kept.Reserve(size(), text_.size());
  for (HeaderView field : *this)
    if (field.name != name) kept.Add(field.name, field.value, field.sensitive);
  *this = std::move(kept);
}

}  // namespace fetchd::server
