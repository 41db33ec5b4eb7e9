// Set-Cookie fields and the jar that keeps them: no cookie reaches a host that it is not for.
//
// Input, by lines: "@" and the URL from which fields come and to which a request goes next, "+"
// and seconds that pass, or a Set-Cookie field.
#include "cookies/set_cookie.h"

#include <algorithm>
#include <string>

#include "check.h"
#include "cookies/cookie_jar.h"

namespace fetchd::server {
namespace {

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

void RequireWell(const SetCookie& cookie, WallTime now) {
  Require(!cookie.name.empty() || !cookie.value.empty(), "a cookie is something");
  Require(cookie.name.size() + cookie.value.size() <= SetCookie::kMaxPair, "a cookie has its cap");
  Require(cookie.domain.size() <= SetCookie::kMaxAttribute && cookie.path.size() <= SetCookie::kMaxAttribute,
          "an attribute has its cap");
  Require(!HasControl(cookie.name) && !HasControl(cookie.value) && !HasControl(cookie.path),
          "a cookie holds no control characters");
  Require(cookie.name.find_first_of("=;") == cookie.name.npos && cookie.value.find(';') == cookie.value.npos,
          "name and value end where their marks do");
  Require(std::none_of(cookie.domain.begin(), cookie.domain.end(), [](char c) { return c >= 'A' && c <= 'Z'; }),
          "a domain is in lower case");
  Require(cookie.path.empty() || cookie.path.starts_with('/'), "a path begins with a slash");
  if (cookie.expires) Require(*cookie.expires <= now + SetCookie::kMaxAge, "no cookie lives longer than 400 days");
}

void RequireHeader(const std::string& header) {
  Require(header.size() <= CookieJar::kMaxHeader, "a request carries no more than its cap");
  Require(!HasControl(header), "a request's field holds no control characters");
}

void Try(std::string_view input) {
  WallTime now{std::chrono::seconds(1'700'000'000)};
  Url url = *Url::Parse("https://www.a.test/dir/page");
  const Url stranger = *Url::Parse("https://stranger.invalid/dir/page");
  const Url plain = *Url::Parse("http://www.a.test/dir/page");
  CookieJar jar, strangers, insecure;
  while (!input.empty()) {
    const std::string_view line = TakeLine(input);
    if (line.starts_with('@')) {
      auto next = Url::Parse(line.substr(1));
      if (!next.ok()) continue;
      url = *std::move(next);
      RequireHeader(jar.HeaderFor(url, now));
      continue;
    }
    if (line.starts_with('+')) {
      for (const char c : line.substr(1, 2)) now += std::chrono::hours(24) * static_cast<uint8_t>(c);
      continue;
    }
    const auto cookie = ParseSetCookie(line, now);
    if (!cookie) continue;
    RequireWell(*cookie, now);
    const size_t before = jar.size();
    const bool kept = jar.Add(*cookie, url, now);
    Require(kept || jar.size() <= before, "what is refused is not kept");
    Require(jar.size() <= CookieJar::kMaxCookies, "a jar has its cap");
    Require((jar.size() == 0) == (jar.bytes() == 0), "bytes are counted");
    RequireHeader(jar.HeaderFor(url, now));
    if (url.host() == "stranger.invalid" || url.host().ends_with(".stranger.invalid") || url.host() == "invalid")
      continue;
    // The same in other jars, where it must not come out.
    strangers.Add(*cookie, url, now);
    if (cookie->secure) {
      Require(!insecure.Add(*cookie, plain, now), "nothing Secure comes over http");
      insecure.Add(*cookie, *Url::Parse("https://www.a.test/dir/page"), now);
    }
  }
  Require(strangers.HeaderFor(stranger, now).empty(), "no cookie goes to a host that it is not for");
  Require(insecure.HeaderFor(plain, now).empty(), "nothing Secure goes over http");
  jar.HeaderFor(url, WallTime::max());
  Require(jar.size() == 0 && jar.bytes() == 0, "all of them expire, and the bytes with them");
}

}  // namespace
}  // namespace fetchd::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fetchd::server::Try(fetchd::server::Text(data, size));
  return 0;
}
