#include "fetch/resume_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

// Layout, integers big-endian:
//   version 1 | flags 1 | expiry, Unix seconds 8 | caller 16 | request 16 | number, pages, items, pages_base,
//   items_base, skip, last_body, anchor 8 each | next, the rest | MAC 32
// Caller and request are there as hashes, so that a stranger's token can be told from an altered one.
constexpr char kVersion = 1;
constexpr size_t kMacSize = 32;
constexpr size_t kBindingSize = 16;
constexpr size_t kNumbers = 8;
constexpr size_t kFixedSize = 2 + 8 + 2 * kBindingSize + kNumbers * 8;
static_assert(kFixedSize + Url::kMaxSize + kMacSize <= ResumeTokens::kMaxSize);

constexpr unsigned kDelivered = 1;
constexpr unsigned kDone = 2;
constexpr unsigned kHasLastBody = 4;

constexpr size_t kMinKeySize = 32;
constexpr size_t kMaxKeySize = 4096;

void PutNumber(std::string& out, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

uint64_t TakeNumber(std::string_view& in) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(in[i]);
  in.remove_prefix(8);
  return value;
}

std::string_view TakeBytes(std::string_view& in, size_t n) {
  std::string_view bytes = in.substr(0, n);
  in.remove_prefix(n);
  return bytes;
}

std::string Binding(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return std::string(reinterpret_cast<const char*>(digest.data()), kBindingSize);
}

uint64_t UnixSeconds(WallTime t) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
  return seconds < 0 ? 0 : static_cast<uint64_t>(seconds);
}

absl::Status Refused(const std::string& why) { return absl::InvalidArgumentError(absl::StrCat("resume_token ", why)); }

}  // namespace

absl::StatusOr<std::string> LoadResumeTokenKey(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened: ", std::strerror(errno)));
  std::string key(kMaxKeySize + 1, '\0');
  file.read(key.data(), static_cast<std::streamsize>(key.size()));
  if (file.bad()) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  key.resize(static_cast<size_t>(file.gcount()));
  if (key.size() > kMaxKeySize) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a key has at most ", kMaxKeySize, " bytes"));
  }
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  if (key.size() < kMinKeySize) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a key has at least ", kMinKeySize,
                                                   " bytes; make one with: openssl rand -base64 48 > ", path));
  }
  return key;
}

ResumeTokens::ResumeTokens(ResumeTokenOptions options) : options_(std::move(options)) {
  if (!options_.key.empty()) return;
  options_.key.resize(kMinKeySize);
  // Without randomness no token can be trusted, and OpenSSL's generator does not fail on a sane machine.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(options_.key.data()), static_cast<int>(options_.key.size())) != 1) {
    std::abort();
  }
}

std::string ResumeTokens::Mac(std::string_view text) const {
  std::string mac(kMacSize, '\0');
  HMAC(EVP_sha256(), options_.key.data(), static_cast<int>(options_.key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), reinterpret_cast<unsigned char*>(mac.data()),
       nullptr);
  return mac;
}

std::string ResumeTokens::Seal(const PagingState& state, std::string_view caller, std::string_view request_hash,
                               WallTime now) const {
  unsigned flags = 0;
  if (state.delivered) flags |= kDelivered;
  if (state.done) flags |= kDone;
  if (state.last_body) flags |= kHasLastBody;
  std::string token;
  token.reserve(kFixedSize + state.next.size() + kMacSize);
  token.push_back(kVersion);
  token.push_back(static_cast<char>(flags));
  PutNumber(token, UnixSeconds(now + options_.ttl));
  token.append(Binding(caller));
  token.append(Binding(request_hash));
  for (uint64_t number : {state.number, state.pages, state.items, state.pages_base, state.items_base, state.skip,
                          state.last_body.value_or(0), state.anchor}) {
    PutNumber(token, number);
  }
  token.append(state.next);
  token.append(Mac(token));
  return token;
}

absl::StatusOr<PagingState> ResumeTokens::Open(std::string_view token, std::string_view caller,
                                               std::string_view request_hash, WallTime now) const {
  if (token.size() > kMaxSize) return Refused(absl::StrCat("is over ", kMaxSize, " bytes: it is none of ours"));
  if (token.size() < kFixedSize + kMacSize) return Refused("is too short: it is none of ours, or was cut");
  if (token[0] != kVersion) return Refused("is of another version of fetchd");
  std::string_view rest = token.substr(0, token.size() - kMacSize);
  const std::string mac = Mac(rest);
  if (CRYPTO_memcmp(mac.data(), token.data() + rest.size(), kMacSize) != 0) {
    return Refused("was altered, or comes from a fetchd with another paging.resume_token_key_file");
  }
  // From here on it is a token of ours.
  rest.remove_prefix(1);
  const auto flags = static_cast<unsigned char>(TakeBytes(rest, 1)[0]);
  const uint64_t expiry = TakeNumber(rest);
  if (TakeBytes(rest, kBindingSize) != Binding(caller)) return Refused("belongs to another caller");
  if (TakeBytes(rest, kBindingSize) != Binding(request_hash)) return Refused("belongs to another request");
  if (UnixSeconds(now) >= expiry) return Refused("has expired");
  PagingState state;
  state.number = TakeNumber(rest);
  state.pages = TakeNumber(rest);
  state.items = TakeNumber(rest);
  state.pages_base = TakeNumber(rest);
  state.items_base = TakeNumber(rest);
  state.skip = TakeNumber(rest);
  const uint64_t last_body = TakeNumber(rest);
  if ((flags & kHasLastBody) != 0) state.last_body = last_body;
  state.anchor = TakeNumber(rest);
  state.delivered = (flags & kDelivered) != 0;
  state.done = (flags & kDone) != 0;
  state.next = std::string(rest);
  return state;
}

}  // namespace fetchd::server
