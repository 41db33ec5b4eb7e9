#include "policy/proxy_choice.h"

#include <algorithm>
#include <utility>

namespace fetchd::server {
namespace {

// Null: by no such name.
const std::shared_ptr<const Proxy>* FindProxy(const PolicyBook& book, const std::string& name) {
  const auto& proxies = book.proxies();
  const auto found =
      std::find_if(proxies.begin(), proxies.end(), [&](const auto& proxy) { return proxy->name == name; });
  return found == proxies.end() ? nullptr : &*found;
}

// Whether a request may have `wanted` (null: the direct way) where `prescribed` is the configuration's.
const char* Refusal(const ProxyPolicy& policy, const Proxy* prescribed, const Proxy* wanted) {
  if (wanted == prescribed) return nullptr;
  if (wanted != nullptr && !wanted->on_request) return "is a proxy that this server lets no request choose";
  if (policy.prescribed && !policy.may_override) return "must not differ from what this server's rule for the URL says";
  return nullptr;
}

}  // namespace

ProxyChoice ChooseProxy(const PolicyBook& book, const ProxyPolicy& policy, const Url& url, const std::string* wanted) {
  ProxyChoice choice;
  if (policy.proxy != ProxyPolicy::kDirect) choice.proxy = book.proxies()[static_cast<size_t>(policy.proxy)];
  if (wanted != nullptr) {
    const bool direct = *wanted == kDirectName;
    const std::shared_ptr<const Proxy>* named = direct ? nullptr : FindProxy(book, *wanted);
    if (!direct && named == nullptr) {
      choice.refusal = "is not the name of a proxy of this server";
    } else {
      choice.refusal = Refusal(policy, choice.proxy.get(), direct ? nullptr : named->get());
      if (choice.refusal == nullptr) choice.proxy = direct ? nullptr : *named;
    }
  }
  if (choice.proxy != nullptr && choice.proxy->no_proxy.Matches(url)) choice.proxy = nullptr;
  return choice;
}

void ChooseRouteAgain(const PolicyBook& book, FetchSpec& spec) {
  // Profiles say nothing of proxies.
  const ProxyPolicy& policy = book.ForCall(spec.url.origin(), "")->proxy;
  spec.route.proxy = ChooseProxy(book, policy, spec.url, spec.wanted_proxy.get()).proxy;
}

void KeepProxies(const PolicyBook& before, PolicyRules& rules) {
  for (std::shared_ptr<const Proxy>& proxy : rules.proxies) {
    const std::shared_ptr<const Proxy>* same = FindProxy(before, proxy->name);
    if (same != nullptr && **same == *proxy) proxy = *same;
  }
}

}  // namespace fetchd::server
