#include "policy/patterns.h"

#include <algorithm>

#include "base/text.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

// How Url has a host, which is what patterns are compared with.
absl::StatusOr<std::string> HostInUrls(std::string_view host) {
  const bool bare_v6 = std::count(host.begin(), host.end(), ':') > 1 && !host.starts_with('[');
  const auto url = Url::Parse(bare_v6 ? Concat("http://[", host, "]/") : Concat("http://", host, "/"));
  if (!url.ok()) return url.status();
  return url->host();
}

}  // namespace

bool IsWildcard(std::string_view host_pattern) { return host_pattern == "*" || host_pattern.starts_with("*."); }

absl::Status CheckHostPattern(std::string_view pattern) {
  if (pattern == "*") return absl::OkStatus();
  const bool wildcard = pattern.starts_with("*.");
  const std::string_view rest = wildcard ? pattern.substr(2) : pattern;
  if (rest.empty()) return absl::InvalidArgumentError("it has no host");
  if (rest.find('*') != std::string_view::npos) {
    return absl::InvalidArgumentError("a * may only stand for the names below a host, as in *.example.com");
  }
  if (rest.find_first_of("/?#@ ") != std::string_view::npos) return absl::InvalidArgumentError("only the host counts");
  if (rest.ends_with('.'))
    return absl::InvalidArgumentError("leave out the dot at the end; rules hold with and without it");
  const size_t colon = rest.find(':');
  if (!rest.starts_with('[') && colon != std::string_view::npos &&
      rest.find(':', colon + 1) == std::string_view::npos) {
    return absl::InvalidArgumentError("a rule holds for every port of a host; leave the port out");
  }
  // A name below the wildcard stands for all of them.
  const std::string host = wildcard ? Concat("a.", rest) : std::string(rest);
  const absl::StatusOr<std::string> in_urls = HostInUrls(host);
  if (!in_urls.ok()) return absl::InvalidArgumentError("no URL can have it");
  if (*in_urls == host) return absl::OkStatus();
  const std::string_view normal = std::string_view(*in_urls).substr(wildcard ? 2 : 0);
  return absl::InvalidArgumentError(Concat("URLs have it as \"", wildcard ? "*." : "", normal, "\""));
}

bool IsCallerPattern(std::string_view pattern) {
  if (pattern.empty() || pattern.size() > 256) return false;
  if (!std::all_of(pattern.begin(), pattern.end(), [](char c) { return c >= ' ' && c <= '~'; })) return false;
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return true;
  return pattern.find('*', star + 1) == std::string_view::npos && (star == 0 || star == pattern.size() - 1);
}

bool MatchesCaller(std::string_view pattern, std::string_view caller) {
  if (pattern.ends_with('*')) return caller.starts_with(pattern.substr(0, pattern.size() - 1));
  if (pattern.starts_with('*')) return caller.ends_with(pattern.substr(1));
  return caller == pattern;
}

}  // namespace fetchd::server
