// Through which proxy a fetch goes.
#pragma once

#include <memory>
#include <string>

#include "model/proxy.h"
#include "model/request.h"
#include "policy/policy_book.h"

namespace fetchd::server {

// What a request calls the way without a proxy.
inline constexpr char kDirectName[] = "direct";

struct ProxyChoice {
  // Null: none.
  std::shared_ptr<const Proxy> proxy;
  // Why the request's wish does not count, for its caller; null: it does, or there was none. `proxy` is the
  // configuration's then.
  const char* refusal = nullptr;
};

// The proxy of a fetch of `url`, for which `policy` of `book` holds: the one that the request named (`wanted`; null:
// none), if it may, else the configuration's; and none if that proxy's no_proxy has the host.
ProxyChoice ChooseProxy(const PolicyBook& book, const ProxyPolicy& policy, const Url& url, const std::string* wanted);

// Chooses again for a fetch whose URL now has another origin: a wish that does not count there is passed over.
void ChooseRouteAgain(const PolicyBook& book, FetchSpec& spec);

// Puts the proxies of `before` in the place of those in `rules` that are the same, so that what holds one by its
// address (connections, fetches in progress) goes on to match.
void KeepProxies(const PolicyBook& before, PolicyRules& rules);

}  // namespace fetchd::server
