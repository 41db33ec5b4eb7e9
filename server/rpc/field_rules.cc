#include "rpc/field_rules.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/text.h"

namespace fetchd::server {
namespace {

constexpr size_t kMaxMethodBytes = 32;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxValueBytes = 16 * 1024;
constexpr size_t kMaxCallerBytes = 64;
// The range of google.protobuf.Duration, and of ours.
constexpr int64_t kMaxProtoSeconds = 315'576'000'000;
constexpr int64_t kMaxSeconds = 9'000'000'000;

constexpr std::array<bool, 256> kTokenChars = [] {
  std::array<bool, 256> table{};
  for (unsigned char c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

constexpr std::array<std::string_view, 10> kOwnFields = {
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
    "te",   "trailer",        "upgrade",           "expect"};

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

bool IsToken(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return kTokenChars[static_cast<unsigned char>(c)]; });
}

const char* CheckMethod(std::string_view method) {
  if (method.size() > kMaxMethodBytes) return "must have at most 32 bytes";
  if (!IsToken(method)) return "must be a token (RFC 9110)";
  if (method == "CONNECT" || method == "TRACE") return "must not be CONNECT or TRACE";
  return nullptr;
}

const char* CheckHeaderName(std::string_view name) {
  if (name.empty()) return "is required";
  if (name.size() > kMaxNameBytes) return "must have at most 256 bytes";
  if (!IsToken(name)) return "must be a token (RFC 9110)";
  const auto same = [name](std::string_view own) {
    return own.size() == name.size() &&
           std::equal(own.begin(), own.end(), name.begin(), [](char a, char b) { return a == Lower(b); });
  };
  if (std::any_of(kOwnFields.begin(), kOwnFields.end(), same)) return "is a field that fetchd sets itself";
  return nullptr;
}

const char* CheckHeaderValue(std::string_view value) {
  if (value.size() > kMaxValueBytes) return "must have at most 16 KiB";
  if (HasLineEndOrNul(value)) return "must not contain CR, LF or NUL";
  if (!value.empty() && (IsBlank(value.front()) || IsBlank(value.back()))) return "must not begin or end with a blank";
  return nullptr;
}

const char* CheckCaller(std::string_view caller) {
  const auto allowed = [](char c) { return IsAlnum(c) || c == '.' || c == '_' || c == '-'; };
  if (caller.empty() || caller.size() > kMaxCallerBytes || !std::all_of(caller.begin(), caller.end(), allowed))
    return "must be 1 to 64 of [A-Za-z0-9._-]";
  return nullptr;
}

const char* ReadDuration(const google::protobuf::Duration& value, Duration& into) {
  const int64_t seconds = value.seconds();
  const int32_t nanos = value.nanos();
  if (seconds > kMaxProtoSeconds || seconds < -kMaxProtoSeconds || nanos > 999'999'999 || nanos < -999'999'999 ||
      (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0))
    return "is not a valid google.protobuf.Duration";
  if (seconds < 0 || nanos < 0) return "must not be negative";
  into = seconds > kMaxSeconds ? Duration::max() : std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
  return nullptr;
}

}  // namespace fetchd::server
