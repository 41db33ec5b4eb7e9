// The cookie jars of all callers.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "cookies/cookie_jar.h"
#include "model/headers.h"
#include "model/url.h"

namespace fetchd::server {

// Finds a jar by its caller and the caller's name for it; nobody reaches those of another caller. Kept in memory only.
// Thread-safe.
class CookieStore {
 public:
  struct Options {
    // A jar that no fetch used for this long is thrown away.
    Duration ttl = std::chrono::minutes(30);
    // Jars in all and of one caller; the one that was not used for longest makes room.
    size_t max_jars = 10'000;
    size_t max_jars_per_caller = 1'000;
    // What all jars hold together (see CookieJar::bytes); the same jar makes room.
    size_t max_bytes = size_t{64} * 1024 * 1024;
  };

  // `clock` outlives this.
  CookieStore(Options options, const Clock& clock);
  CookieStore(const CookieStore&) = delete;
  CookieStore& operator=(const CookieStore&) = delete;

  // The value of the cookie field for a request of that session; empty: none.
  std::string HeaderFor(std::string_view caller, std::string_view session, const Url& url);
  // Keeps the cookies that a response of `url` sets.
  void OnResponse(std::string_view caller, std::string_view session, const Url& url, const Headers& response);

  size_t jars() const;
  size_t bytes() const;

 private:
  struct Jar;
  using Jars = std::list<Jar>;
  struct Jar {
    std::string key;
    std::string caller;
    Instant used;
    CookieJar cookies;
    // Its place among those of its caller.
    std::list<Jars::iterator>::iterator of_caller;
  };

  // All with mutex_ held.
  // Null if there is none. It is the one used last then.
  Jar* Find(const std::string& key, Instant now);
  Jar& Make(std::string_view caller, std::string key, Instant now);
  void Remove(Jars::iterator jar);
  void RemoveUnused(Instant now);

  const Options options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  // The one used last first, as in each caller's list.
  Jars jars_;
  absl::flat_hash_map<std::string, Jars::iterator> by_key_;
  absl::flat_hash_map<std::string, std::list<Jars::iterator>> by_caller_;
  size_t bytes_ = 0;
};

}  // namespace fetchd::server
