#include "fetch/paged_messages.h"

#include <openssl/evp.h>

#include <memory>
#include <type_traits>

namespace fetchd::server {
namespace {

// Hashes fields so that no two lists of fields look alike.
class FieldHash {
 public:
  FieldHash() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Add(std::string_view text) {
    Add(uint64_t{text.size()});
    EVP_DigestUpdate(context_.get(), text.data(), text.size());
  }
  void Add(uint64_t number) {
    unsigned char bytes[8];
    for (unsigned char& byte : bytes) {
      byte = static_cast<unsigned char>(number);
      number >>= 8;
    }
    EVP_DigestUpdate(context_.get(), bytes, sizeof(bytes));
  }
  std::string Finish() {
    std::string digest(32, '\0');
    EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

void AddStrategy(FieldHash& hash, const LinkHeaderPaging& s) { hash.Add(s.rel); }
void AddStrategy(FieldHash& hash, const NextUrlPaging& s) { hash.Add(s.pointer); }
void AddStrategy(FieldHash& hash, const CursorPaging& s) {
  hash.Add(s.pointer);
  hash.Add(s.header);
  hash.Add(s.param);
  hash.Add(uint64_t{s.drop_other_params});
}
void AddStrategy(FieldHash& hash, const OffsetPaging& s) {
  hash.Add(s.param);
  hash.Add(s.start);
  hash.Add(s.limit);
  hash.Add(s.limit_param);
}
void AddStrategy(FieldHash& hash, const PageNumberPaging& s) {
  hash.Add(s.param);
  hash.Add(s.start);
  hash.Add(s.page_size);
}

}  // namespace

std::string PagedRequestHash(const PagedSpec& spec) {
  FieldHash hash;
  hash.Add(spec.request.method);
  hash.Add(spec.request.url.text());
  hash.Add(uint64_t{spec.request.headers.size()});
  for (HeaderView field : spec.request.headers) {
    hash.Add(field.name);
    hash.Add(field.sensitive ? std::string_view() : field.value);
  }
  hash.Add(spec.request.body);
  hash.Add(uint64_t{spec.rules.strategy.index()});
  std::visit([&hash](const auto& strategy) { AddStrategy(hash, strategy); }, spec.rules.strategy);
  hash.Add(spec.rules.max_pages);
  hash.Add(spec.rules.max_items);
  hash.Add(uint64_t{spec.rules.allow_other_origins});
  hash.Add(uint64_t{spec.items.has_value()});
  hash.Add(spec.items.value_or(""));
  hash.Add(static_cast<uint64_t>(spec.unit));
  return hash.Finish();
}

}  // namespace fetchd::server
