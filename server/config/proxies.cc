#include "config/proxies.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "config/durations.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

namespace v1 = ::fetchd::config::v1;

// RFC 1929 has a byte for each length; more would be no use elsewhere.
constexpr size_t kMaxSecretBytes = 255;

bool HasControl(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

Proxy::Names ToNames(v1::ProxyServer::Names names) {
  switch (names) {
    case v1::ProxyServer::NAMES_CHECKED:
      return Proxy::Names::kChecked;
    case v1::ProxyServer::NAMES_REMOTE:
      return Proxy::Names::kRemote;
    default:
      return Proxy::Names::kPinned;
  }
}

}  // namespace

absl::StatusOr<ProxyUrl> ParseProxyUrl(const std::string& text) {
  const size_t separator = text.find("://");
  const std::string scheme = text.substr(0, separator);
  if (separator == std::string::npos) return absl::InvalidArgumentError("it begins with neither http:// nor socks5://");
  ProxyUrl proxy;
  if (scheme == "socks5") {
    proxy.kind = Proxy::Kind::kSocks5;
  } else if (scheme == "socks5h") {
    return absl::InvalidArgumentError("what socks5h means elsewhere is socks5 with names: remote");
  } else if (scheme == "https") {
    return absl::InvalidArgumentError(
        "TLS to a proxy is not supported; https URLs go through http:// ones in a tunnel");
  } else if (scheme != "http") {
    return absl::InvalidArgumentError("it begins with neither http:// nor socks5://");
  }
  const std::string rest = text.substr(separator + 3);
  if (absl::StrContains(rest, "@")) {
    return absl::InvalidArgumentError("user name and password have keys of their own: username and password_file");
  }
  const std::string authority(absl::StripSuffix(rest, "/"));
  const size_t colon = authority.rfind(':');
  if (colon == std::string::npos || colon + 1 == authority.size() || authority.find(']', colon) != std::string::npos) {
    return absl::InvalidArgumentError("its port is missing");
  }
  const absl::StatusOr<Url> url = Url::Parse("http://" + rest);
  if (!url.ok()) return url.status();
  if (url->target() != "/" || absl::StrContains(rest, "#")) {
    return absl::InvalidArgumentError("it must have nothing but a host and a port");
  }
  proxy.host = url->host();
  proxy.literal = url->host_address();
  proxy.port = url->port();
  return proxy;
}

absl::Status CheckUsername(const std::string& username, Proxy::Kind kind) {
  if (username.empty() || username.size() > kMaxSecretBytes || HasControl(username)) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be 1 to ", kMaxSecretBytes, " bytes without control characters"));
  }
  if (kind == Proxy::Kind::kHttp && absl::StrContains(username, ":")) {
    return absl::InvalidArgumentError("must not have a colon: Basic (RFC 7617) could not tell it from the password");
  }
  return absl::OkStatus();
}

std::vector<Proxy> MakeProxies(const ServerConfig& config) {
  std::vector<Proxy> proxies;
  for (const v1::ProxyServer& server : config.proxies()) {
    Proxy& proxy = proxies.emplace_back();
    ProxyUrl url = *ParseProxyUrl(server.url());
    proxy.name = server.name();
    proxy.kind = url.kind;
    proxy.host = std::move(url.host);
    proxy.literal = url.literal;
    proxy.port = url.port;
    proxy.username = server.username();
    proxy.names = ToNames(server.names());
    if (server.has_handshake_timeout()) proxy.handshake_timeout = ToDuration(server.handshake_timeout());
    std::vector<NoProxyRule> rules;
    for (const std::string& rule : server.no_proxy()) rules.push_back(*NoProxyRule::Parse(rule));
    proxy.no_proxy = NoProxy(std::move(rules));
    proxy.on_request = server.on_request();
  }
  return proxies;
}

absl::Status SetPassword(const std::string& text, Proxy& proxy) {
  std::string password = text;
  if (absl::EndsWith(password, "\n")) password.pop_back();
  if (absl::EndsWith(password, "\r")) password.pop_back();
  if (password.empty() || password.size() > kMaxSecretBytes || HasControl(password)) {
    return absl::InvalidArgumentError(
        absl::StrCat("must hold a password: one line of 1 to ", kMaxSecretBytes, " bytes without control characters"));
  }
  if (proxy.kind == Proxy::Kind::kHttp) {
    proxy.authorization = "Basic " + absl::Base64Escape(absl::StrCat(proxy.username, ":", password));
  }
  proxy.password = std::move(password);
  return absl::OkStatus();
}

}  // namespace fetchd::server
