#include "cookies/cookie_jar.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "cookies/public_suffix.h"

namespace fetchd::server {
namespace {

std::string_view PathOf(const Url& url) { return url.target().substr(0, url.target().find('?')); }

bool IsBelow(std::string_view name, std::string_view domain) {
  return name.size() > domain.size() && name.ends_with(domain) && name[name.size() - domain.size() - 1] == '.';
}

bool SameOrBelow(std::string_view name, std::string_view domain) { return name == domain || IsBelow(name, domain); }

bool HasPrefix(std::string_view name, std::string_view prefix) {
  return name.size() >= prefix.size() && Lower(name.substr(0, prefix.size())) == prefix;
}

// Section 4.1.3, compared without case as section 5.7 has it.
bool KeepsPromiseOfName(const SetCookie& cookie, bool host_only) {
  constexpr std::string_view kSecure = "__secure-";
  constexpr std::string_view kHost = "__host-";
  // Sent without "=", it would read as one that makes the promise.
  if (cookie.name.empty()) return !HasPrefix(cookie.value, kSecure) && !HasPrefix(cookie.value, kHost);
  if (HasPrefix(cookie.name, kSecure)) return cookie.secure;
  if (HasPrefix(cookie.name, kHost)) return cookie.secure && host_only && cookie.path == "/";
  return true;
}

constexpr size_t kCookieCost = 160;

}  // namespace

bool DomainMatches(const Url& url, std::string_view domain) {
  return url.host() == domain || (!url.host_address() && IsBelow(url.host(), domain));
}

bool PathMatches(std::string_view request_path, std::string_view cookie_path) {
  if (!request_path.starts_with(cookie_path)) return false;
  return request_path.size() == cookie_path.size() || cookie_path.ends_with('/') ||
         request_path[cookie_path.size()] == '/';
}

std::string_view DefaultPath(const Url& url) {
  const std::string_view path = PathOf(url);
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == path.npos ? "/" : path.substr(0, slash);
}

size_t CookieJar::Cookie::bytes() const {
  return kCookieCost + name.size() + value.size() + domain.size() + path.size();
}

bool CookieJar::Add(SetCookie set, const Url& url, WallTime now) {
  bool host_only = set.domain.empty();
  if (!host_only && IsPublicSuffix(set.domain)) {
    if (set.domain != url.host()) return false;
    host_only = true;
  }
  if (!host_only && !DomainMatches(url, set.domain)) return false;
  const bool from_https = url.scheme() == Scheme::kHttps;
  if (set.secure && !from_https) return false;
  if (!KeepsPromiseOfName(set, set.domain.empty())) return false;

  Cookie cookie;
  cookie.name = std::move(set.name);
  cookie.value = std::move(set.value);
  cookie.domain = host_only ? url.host() : std::move(set.domain);
  cookie.path = set.path.empty() ? std::string(DefaultPath(url)) : std::move(set.path);
  cookie.expires = set.expires.value_or(WallTime::max());
  cookie.host_only = host_only;
  cookie.secure = set.secure;
  RemoveExpired(now);
  if (!from_https && ShadowsSecure(cookie)) return false;
  cookie.created = cookie.used = ++count_;
  for (size_t i = 0; i < cookies_.size(); ++i) {
    const Cookie& old = cookies_[i];
    if (old.name != cookie.name || old.domain != cookie.domain || old.host_only != cookie.host_only ||
        old.path != cookie.path)
      continue;
    cookie.created = old.created;
    Remove(i);
    break;
  }
  // It was set to be forgotten.
  if (cookie.expires <= now) return true;
  MakeRoom(cookie.domain);
  bytes_ += cookie.bytes();
  cookies_.push_back(std::move(cookie));
  return true;
}

bool CookieJar::ShadowsSecure(const Cookie& cookie) const {
  return std::any_of(cookies_.begin(), cookies_.end(), [&](const Cookie& old) {
    return old.secure && old.name == cookie.name &&
           (SameOrBelow(cookie.domain, old.domain) || SameOrBelow(old.domain, cookie.domain)) &&
           PathMatches(cookie.path, old.path);
  });
}

void CookieJar::Remove(size_t i) {
  bytes_ -= cookies_[i].bytes();
  if (i + 1 < cookies_.size()) cookies_[i] = std::move(cookies_.back());
  cookies_.pop_back();
}

void CookieJar::RemoveExpired(WallTime now) {
  for (size_t i = 0; i < cookies_.size();) cookies_[i].expires <= now ? Remove(i) : void(++i);
}

void CookieJar::MakeRoom(const std::string& domain) {
  const auto same_domain = [&](const Cookie& c) { return c.domain == domain; };
  const auto of_domain = static_cast<size_t>(std::count_if(cookies_.begin(), cookies_.end(), same_domain));
  const bool domain_full = of_domain >= kMaxPerDomain;
  if (!domain_full && cookies_.size() < kMaxCookies) return;
  // Section 5.7: within a domain what is not Secure goes first.
  const auto before = [&](const Cookie& a, const Cookie& b) {
    if (domain_full && same_domain(a) != same_domain(b)) return same_domain(a);
    if (domain_full && a.secure != b.secure) return !a.secure;
    return a.used < b.used;
  };
  Remove(static_cast<size_t>(std::min_element(cookies_.begin(), cookies_.end(), before) - cookies_.begin()));
}

std::string CookieJar::HeaderFor(const Url& url, WallTime now) {
  RemoveExpired(now);
  std::vector<Cookie*> found;
  for (Cookie& cookie : cookies_) {
    if (cookie.host_only ? url.host() != cookie.domain : !DomainMatches(url, cookie.domain)) continue;
    if (cookie.secure && url.scheme() != Scheme::kHttps) continue;
    if (PathMatches(PathOf(url), cookie.path)) found.push_back(&cookie);
  }
  std::sort(found.begin(), found.end(), [](const Cookie* a, const Cookie* b) {
    if (a->path.size() != b->path.size()) return a->path.size() > b->path.size();
    return a->created < b->created;
  });
  std::string header;
  for (Cookie* cookie : found) {
    const size_t size = cookie->name.size() + cookie->value.size() + 3;
    if (header.size() + size > kMaxHeader) continue;
    if (!header.empty()) header += "; ";
    if (!cookie->name.empty()) header.append(cookie->name).append("=");
    header += cookie->value;
    cookie->used = ++count_;
  }
  return header;
}

}  // namespace fetchd::server
