#include "fetch/digest_sink.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/text.h"

namespace fetchd::server {
namespace {

constexpr std::array<size_t, 2> kDigestBytes = {32, 64};
constexpr std::array<std::string_view, 2> kNames = {"sha-256", "sha-512"};

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

bool ReadDigestField(std::string_view value, std::string_view source, std::vector<WantedDigest>& wanted) {
  // A dictionary of byte sequences (RFC 8941 section 3.2, 3.3.5), in which a comma or a colon can only be what it
  // seems.
  for (std::string_view member : Split(value, ',')) {
    member = TrimBlanks(member);
    const size_t equals = member.find('=');
    const std::string_view name = member.substr(0, equals);
    const auto* known = std::find(kNames.begin(), kNames.end(), name);
    if (known == kNames.end()) continue;
    std::string_view item = equals == member.npos ? std::string_view() : member.substr(equals + 1);
    item = TrimBlanks(item.substr(0, item.find(';')));
    if (item.size() < 2 || item.front() != ':' || item.back() != ':') return false;
    WantedDigest digest;
    digest.algorithm = static_cast<DigestAlgorithm>(known - kNames.begin());
    digest.source = source;
    if (!absl::Base64Unescape(ToAbsl(item.substr(1, item.size() - 2)), &digest.bytes)) return false;
    if (digest.bytes.size() != kDigestBytes[static_cast<size_t>(digest.algorithm)]) return false;
    wanted.push_back(std::move(digest));
  }
  return true;
}

void DigestSink::ContextDeleter::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

DigestSink::DigestSink(ResponseSink& next, std::vector<WantedDigest> wanted) : next_(next), wanted_(std::move(wanted)) {
  for (const WantedDigest& digest : wanted_) {
    auto& context = contexts_[static_cast<size_t>(digest.algorithm)];
    if (context != nullptr) continue;
    context.reset(EVP_MD_CTX_new());
    EVP_DigestInit_ex(context.get(), digest.algorithm == DigestAlgorithm::kSha256 ? EVP_sha256() : EVP_sha512(),
                      nullptr);
  }
}

DigestSink::~DigestSink() = default;

void DigestSink::Commit(size_t n) {
  for (const auto& context : contexts_)
    if (context != nullptr) EVP_DigestUpdate(context.get(), prepared_.data(), n);
  next_.Commit(n);
}

std::optional<Failure> DigestSink::Check() {
  std::array<std::string, 2> digests;
  for (size_t i = 0; i < contexts_.size(); ++i) {
    if (contexts_[i] == nullptr) continue;
    digests[i].resize(kDigestBytes[i]);
    EVP_DigestFinal_ex(contexts_[i].get(), reinterpret_cast<unsigned char*>(digests[i].data()), nullptr);
  }
  for (const WantedDigest& digest : wanted_) {
    const auto i = static_cast<size_t>(digest.algorithm);
    if (digest.bytes == digests[i]) continue;
    const std::string hex = absl::BytesToHexString(digests[i]);
    return Failure{.code = FailureCode::kBodyDigestMismatch,
                   .phase = Phase::kDecode,
                   .processed = Processed::kYes,
                   .detail = Concat("the ", kNames[i], " of the body is ", hex, ", not what ", digest.source, " says")};
  }
  return std::nullopt;
}

}  // namespace fetchd::server
