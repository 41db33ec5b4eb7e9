#include "model/no_proxy.h"

#include <algorithm>

#include "absl/status/status.h"
#include "base/text.h"

namespace fetchd::server {

absl::StatusOr<NoProxyRule> NoProxyRule::Parse(std::string_view text) {
  NoProxyRule rule;
  if (text.empty()) return absl::InvalidArgumentError("it is empty");
  if (text == "*") return rule;
  if (text.find('/') != std::string_view::npos) {
    const std::optional<Cidr> block = Cidr::Parse(text);
    if (!block) return absl::InvalidArgumentError("it is no address block without host bits, such as 10.0.0.0/8");
    rule.kind_ = Kind::kBlock;
    rule.block_ = *block;
    return rule;
  }
  std::string_view host = text;
  const bool bare_v6 = std::count(text.begin(), text.end(), ':') > 1 && !text.starts_with('[');
  const size_t colon = text.rfind(':');
  if (!bare_v6 && colon != std::string_view::npos && !text.ends_with(']')) {
    const std::optional<uint16_t> port = ParseDecimal<uint16_t>(text.substr(colon + 1));
    if (!port || *port == 0) return absl::InvalidArgumentError("what follows the colon is no port");
    rule.port_ = *port;
    host = text.substr(0, colon);
  }
  const bool below = host.starts_with('.') || host.starts_with("*.");
  if (below) host.remove_prefix(host.front() == '*' ? 2 : 1);
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.find_first_of("*/?#@") != std::string_view::npos) {
    return absl::InvalidArgumentError("a * may only stand alone, or for the names below a host, as in *.example.com");
  }
  // As URLs have it, with which it is compared; the label in front makes a lone top-level domain a host like others.
  const absl::StatusOr<Url> url =
      Url::Parse(bare_v6 ? Concat("http://[", host, "]/") : Concat("http://", below ? "a." : "", host, "/"));
  if (!url.ok() || host.empty()) return absl::InvalidArgumentError("no URL can have such a host");
  if (url->host_address()) {
    rule.kind_ = Kind::kAddress;
    rule.address_ = *url->host_address();
    return rule;
  }
  rule.kind_ = below ? Kind::kBelow : Kind::kHost;
  rule.host_ = below ? url->host().substr(1) : url->host();
  return rule;
}

bool NoProxyRule::MatchesHost(std::string_view host) const {
  // "h." is the same host as "h".
  if (host.ends_with('.')) host.remove_suffix(1);
  if (kind_ == Kind::kBelow) return host.size() > host_.size() && host.ends_with(host_);
  if (!host.ends_with(host_)) return false;
  return host.size() == host_.size() || host[host.size() - host_.size() - 1] == '.';
}

bool NoProxyRule::Matches(const Url& url) const {
  if (port_ && *port_ != url.port()) return false;
  const std::optional<IpAddress>& address = url.host_address();
  switch (kind_) {
    case Kind::kAll:
      return true;
    case Kind::kAddress:
      return address == address_;
    case Kind::kBlock:
      return address && block_.Contains(*address);
    case Kind::kHost:
    case Kind::kBelow:
      return !address && MatchesHost(url.host());
  }
  return false;
}

bool NoProxy::Matches(const Url& url) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](const NoProxyRule& rule) { return rule.Matches(url); });
}

}  // namespace fetchd::server
