// The one URL type: policy and wire read the same parse, so they cannot disagree about the host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/ip_address.h"
#include "model/origin.h"

namespace fetchd::server {

// What a URL of that scheme begins with.
constexpr std::string_view SchemePrefix(Scheme scheme) { return scheme == Scheme::kHttps ? "https://" : "http://"; }

// An absolute http or https URL (RFC 3986; path and query by Boost.URL), normalised. An immutable value.
class Url {
 public:
  // An empty place to assign to; none of the accessors may be used before.
  Url() = default;

  // Longest text accepted, in bytes.
  static constexpr size_t kMaxSize = 8192;

  // InvalidArgument with a message for the caller if `text` is malformed: not absolute, empty host, user info,
  // non-ASCII, blanks or control characters, port 0 or over 65535, a host that looks like an IPv4 address without being
  // a dotted quad (0x7f.1, 2130706433, 127.1), a zone id, an over-long or malformed host name (RFC 1123, underscores
  // allowed). A scheme other than http and https is PermissionDenied (the contract names it a forbidden scheme). A
  // fragment is dropped.
  static absl::StatusOr<Url> Parse(std::string_view text);

  // Resolves a reference (absolute or relative) against this URL (RFC 3986 section 5).
  absl::StatusOr<Url> Resolve(std::string_view reference) const;

  // The same URL with query parameter `name` set to `value` (both unencoded): the first one of that name is replaced,
  // further ones dropped, others kept in place, or dropped with `drop_others`. Appended if there was none.
  absl::StatusOr<Url> WithQueryParam(std::string_view name, std::string_view value, bool drop_others = false) const;

  const Origin& origin() const { return origin_; }
  Scheme scheme() const { return origin_.scheme; }
  const std::string& host() const { return origin_.host; }
  uint16_t port() const { return origin_.port; }
  // The host as an address, if it is an IP literal.
  const std::optional<IpAddress>& host_address() const { return host_address_; }
  // The request target in origin-form, "/path?query"; never empty.
  std::string_view target() const { return std::string_view(text_).substr(target_at_); }
  // The Host header: host, in brackets if IPv6, and the port unless it is the scheme's default.
  std::string_view authority() const {
    const size_t at = SchemePrefix(scheme()).size();
    return std::string_view(text_).substr(at, target_at_ - at);
  }
  // The whole URL, normalised.
  const std::string& text() const { return text_; }
  // For logs and messages: query values replaced by "*", as in "https://h/p?token=*&page=*".
  std::string Redacted() const;
  // The same without a copy if there is nothing to hide: a view of this URL, or of `scratch`, which is overwritten.
  std::string_view Redacted(std::string& scratch) const;

  bool operator==(const Url& other) const { return text_ == other.text_; }

 private:
  // Parses a URL that is normalised already, as most are, save for an empty path: lower-case scheme and host, no
  // default port, no dot segments, no fragment, nothing to encode. False, with `url` in any state, if `text` is
  // anything else, be it malformed or not.
  static bool ParsePlain(std::string_view text, Url& url);

  Origin origin_;
  std::optional<IpAddress> host_address_;
  std::string text_;
  size_t target_at_ = 0;
};

}  // namespace fetchd::server
