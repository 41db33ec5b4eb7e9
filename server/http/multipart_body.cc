#include "http/multipart_body.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace fetchd::server {
namespace {

constexpr std::string_view kBoundaryPrefix = "fetchd-";
constexpr size_t kBoundaryBytes = 16;

void AppendQuoted(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"') {
      out.append("%22");
    } else if (c == '\r') {
      out.append("%0D");
    } else if (c == '\n') {
      out.append("%0A");
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

}  // namespace

std::string MultipartContentType(std::string_view boundary) {
  std::string result("multipart/form-data; boundary=");
  return result.append(boundary);
}

std::string BoundaryOf(std::span<const BodyPart> parts) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const BodyPart& part : parts) {
    for (const std::string_view text : {part.name, part.filename, part.content_type, part.data}) {
      // With its length, so that parts that are cut in another way get another boundary.
      const std::string size = absl::StrCat(text.size(), ":");
      EVP_DigestUpdate(context.get(), size.data(), size.size());
      EVP_DigestUpdate(context.get(), text.data(), text.size());
    }
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  EVP_DigestFinal_ex(context.get(), digest.data(), nullptr);
  std::string result(kBoundaryPrefix);
  return result.append(absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), kBoundaryBytes}));
}

std::string RandomBoundary() {
  std::string result(kBoundaryPrefix);
  return result.append(
      absl::StrCat(absl::Hex(Random::Seed(), absl::kZeroPad16), absl::Hex(Random::Seed(), absl::kZeroPad16)));
}

void AppendPart(std::string_view boundary, bool first, const BodyPart& part, std::string& out) {
  out.append(first ? "--" : "\r\n--").append(boundary).append("\r\ncontent-disposition: form-data; name=");
  AppendQuoted(part.name, out);
  if (!part.filename.empty()) {
    out.append("; filename=");
    AppendQuoted(part.filename, out);
  }
  out.append("\r\n");
  std::string_view type = part.content_type;
  if (type.empty() && !part.filename.empty()) type = "application/octet-stream";
  if (!type.empty()) out.append("content-type: ").append(type).append("\r\n");
  out.append("\r\n").append(part.data);
}

void AppendMultipartEnd(std::string_view boundary, std::string& out) {
  out.append("\r\n--").append(boundary).append("--\r\n");
}

}  // namespace fetchd::server
