// The proxies of the configuration.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/schema.h"
#include "model/proxy.h"

namespace fetchd::server {

// What the URL of a proxy says.
struct ProxyUrl {
  Proxy::Kind kind = Proxy::Kind::kHttp;
  // As in Proxy.
  std::string host;
  std::optional<IpAddress> literal;
  uint16_t port = 0;
};
// "http://HOST:PORT" or "socks5://HOST:PORT"; InvalidArgument, saying why, if `text` is neither.
absl::StatusOr<ProxyUrl> ParseProxyUrl(const std::string& text);

// InvalidArgument if a proxy of that kind cannot be given such a user name.
absl::Status CheckUsername(const std::string& username, Proxy::Kind kind);

// The proxies of `config`, which was loaded without complaints, without their passwords.
std::vector<Proxy> MakeProxies(const ServerConfig& config);

// Gives a proxy that has a username the password in `text`, the contents of a file. InvalidArgument, without a word of
// the password, if it cannot be one.
absl::Status SetPassword(const std::string& text, Proxy& proxy);

}  // namespace fetchd::server
