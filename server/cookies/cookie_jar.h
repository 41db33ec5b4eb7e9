// The cookies of one session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cookies/set_cookie.h"
#include "model/url.h"

namespace fetchd::server {

// Keeps cookies by RFC 6265bis section 5.7 and finds those for a request (5.8.3). All requests count as same-site. Not
// thread-safe.
class CookieJar {
 public:
  // Cookies of one domain and in all; beyond them the one that was not used for longest goes, of those with the same
  // domain first those that are not Secure.
  static constexpr size_t kMaxPerDomain = 50;
  static constexpr size_t kMaxCookies = 300;
  // What a request carries at most; cookies that do not fit are left out.
  static constexpr size_t kMaxHeader = 16 * 1024;

  // Keeps what a response of `url` set. False if the cookie was refused.
  bool Add(SetCookie cookie, const Url& url, WallTime now);
  // The value of the cookie field for a request, empty if none are for it.
  std::string HeaderFor(const Url& url, WallTime now);

  size_t size() const { return cookies_.size(); }
  // Of names, values, domains and paths, and something for each cookie.
  size_t bytes() const { return bytes_; }

 private:
  struct Cookie {
    std::string name;
    std::string value;
    std::string domain;
    std::string path;
    WallTime expires;
    bool host_only = false;
    bool secure = false;
    // In the order in which they came, and were last sent or set.
    uint64_t created = 0;
    uint64_t used = 0;
    size_t bytes() const;
  };

  void RemoveExpired(WallTime now);
  void Remove(size_t i);
  void MakeRoom(const std::string& domain);
  // A cookie from http that would stand before, or for, one that https set.
  bool ShadowsSecure(const Cookie& cookie) const;

  // Few enough to look at each.
  std::vector<Cookie> cookies_;
  size_t bytes_ = 0;
  uint64_t count_ = 0;
};

// Section 5.1.3; `host` as a URL has it, `domain` in lower case.
bool DomainMatches(const Url& url, std::string_view domain);
// Section 5.1.4.
bool PathMatches(std::string_view request_path, std::string_view cookie_path);
std::string_view DefaultPath(const Url& url);

}  // namespace fetchd::server
