#include "cookies/cookie_store.h"

#include <iterator>

#include "base/text.h"

namespace fetchd::server {
namespace {

// A session's name has no slash.
std::string KeyOf(std::string_view caller, std::string_view session) { return Concat(caller, "/", session); }

// Of a jar, whatever is in it.
constexpr size_t kJarCost = 512;

}  // namespace

CookieStore::CookieStore(Options options, const Clock& clock) : options_(options), clock_(clock) {}

std::string CookieStore::HeaderFor(std::string_view caller, std::string_view session, const Url& url) {
  const std::string key = KeyOf(caller, session);
  const std::lock_guard lock(mutex_);
  Jar* const jar = Find(key, clock_.Now());
  if (jar == nullptr) return {};
  bytes_ -= jar->cookies.bytes();
  std::string header = jar->cookies.HeaderFor(url, clock_.WallNow());
  bytes_ += jar->cookies.bytes();
  return header;
}

void CookieStore::OnResponse(std::string_view caller, std::string_view session, const Url& url,
                             const Headers& response) {
  if (!response.Has("set-cookie")) return;
  const std::string key = KeyOf(caller, session);
  const WallTime wall_now = clock_.WallNow();
  const std::lock_guard lock(mutex_);
  const Instant now = clock_.Now();
  Jar* jar = Find(key, now);
  if (jar == nullptr) jar = &Make(caller, key, now);
  bytes_ -= jar->cookies.bytes();
  for (const HeaderView field : response) {
    if (field.name != "set-cookie") continue;
    if (std::optional<SetCookie> cookie = ParseSetCookie(field.value, wall_now))
      jar->cookies.Add(*std::move(cookie), url, wall_now);
  }
  bytes_ += jar->cookies.bytes();
  if (jar->cookies.size() == 0) return Remove(jars_.begin());
  // One jar alone is always within the cap.
  while (bytes_ > options_.max_bytes && jars_.size() > 1) Remove(std::prev(jars_.end()));
}

size_t CookieStore::jars() const {
  const std::lock_guard lock(mutex_);
  return jars_.size();
}

size_t CookieStore::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

CookieStore::Jar* CookieStore::Find(const std::string& key, Instant now) {
  RemoveUnused(now);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  Jar& jar = *found->second;
  jar.used = now;
  jars_.splice(jars_.begin(), jars_, found->second);
  auto& of_caller = by_caller_[jar.caller];
  of_caller.splice(of_caller.begin(), of_caller, jar.of_caller);
  return &jar;
}

CookieStore::Jar& CookieStore::Make(std::string_view caller, std::string key, Instant now) {
  if (const auto others = by_caller_.find(std::string(caller));
      others != by_caller_.end() && others->second.size() >= options_.max_jars_per_caller)
    Remove(others->second.back());
  if (jars_.size() >= options_.max_jars) Remove(std::prev(jars_.end()));
  Jar& jar = jars_.emplace_front();
  jar.caller = caller;
  jar.used = now;
  jar.key = key;
  by_key_.emplace(std::move(key), jars_.begin());
  auto& of_caller = by_caller_[jar.caller];
  jar.of_caller = of_caller.insert(of_caller.begin(), jars_.begin());
  bytes_ += kJarCost;
  return jar;
}

void CookieStore::Remove(Jars::iterator jar) {
  bytes_ -= kJarCost + jar->cookies.bytes();
  by_key_.erase(jar->key);
  const auto caller = by_caller_.find(jar->caller);
  caller->second.erase(jar->of_caller);
  if (caller->second.empty()) by_caller_.erase(caller);
  jars_.erase(jar);
}

void CookieStore::RemoveUnused(Instant now) {
  while (!jars_.empty() && now - jars_.back().used >= options_.ttl) Remove(std::prev(jars_.end()));
}

}  // namespace fetchd::server
