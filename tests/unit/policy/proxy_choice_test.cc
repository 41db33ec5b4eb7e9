#include "policy/proxy_choice.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace fetchd::server {
namespace {

std::shared_ptr<const Proxy> MakeProxy(const std::string& name, bool on_request,
                                       const std::vector<std::string>& direct = {}) {
  auto proxy = std::make_shared<Proxy>();
  proxy->name = name;
  proxy->host = "proxy.test";
  proxy->port = 3128;
  proxy->on_request = on_request;
  std::vector<NoProxyRule> rules;
  for (const std::string& rule : direct) rules.push_back(*NoProxyRule::Parse(rule));
  proxy->no_proxy = NoProxy(rules);
  return proxy;
}

// "closed" may not be named by requests, "open" may; nobody goes through them to inside.test.
PolicyRules Rules() {
  PolicyRules rules;
  rules.proxies = {MakeProxy("closed", false, {"inside.test"}), MakeProxy("open", true, {"inside.test"})};
  return rules;
}

constexpr ProxyPolicy kSilent{};
constexpr ProxyPolicy kClosed{.proxy = 0, .prescribed = true, .may_override = false};
constexpr ProxyPolicy kClosedUnlessAsked{.proxy = 0, .prescribed = true, .may_override = true};
constexpr ProxyPolicy kDirect{.proxy = ProxyPolicy::kDirect, .prescribed = true, .may_override = false};
constexpr ProxyPolicy kDirectUnlessAsked{.proxy = ProxyPolicy::kDirect, .prescribed = true, .may_override = true};

TEST(ChooseProxy, ARequestHasItsWayAsFarAsTheConfigurationLetsIt) {
  const PolicyBook book(Rules());
  struct Row {
    const char* what;
    ProxyPolicy policy;
    std::optional<std::string> wanted;
    std::string proxy;
    bool refused;
  };
  const Row rows[] = {
      {"nobody says anything", kSilent, std::nullopt, "", false},
      {"a rule alone", kClosed, std::nullopt, "closed", false},
      {"a rule for no proxy", kDirect, std::nullopt, "", false},
      {"direct where it is so anyway", kSilent, "direct", "", false},
      {"the request's proxy where the configuration is silent", kSilent, "open", "open", false},
      {"a proxy that requests may not name", kSilent, "closed", "", true},
      {"what the rule says, although requests may not name it", kClosed, "closed", "closed", false},
      {"another proxy than the rule's", kClosed, "open", "closed", true},
      {"direct against a rule", kClosed, "direct", "closed", true},
      {"a proxy against a rule for none", kDirect, "open", "", true},
      {"another proxy than the rule's, which gives way", kClosedUnlessAsked, "open", "open", false},
      {"direct, as the rule gives way", kClosedUnlessAsked, "direct", "", false},
      {"a proxy, as the rule for none gives way", kDirectUnlessAsked, "open", "open", false},
      {"a closed proxy does not open by a rule that gives way", kDirectUnlessAsked, "closed", "", true},
      {"an unknown name", kSilent, "elsewhere", "", true},
      {"an unknown name against a rule", kClosedUnlessAsked, "elsewhere", "closed", true},
      {"names have their case", kSilent, "Open", "", true},
  };
  const Url url = *Url::Parse("https://origin.test/");
  for (const Row& row : rows) {
    const ProxyChoice choice = ChooseProxy(book, row.policy, url, row.wanted ? &*row.wanted : nullptr);
    EXPECT_EQ(choice.proxy == nullptr ? "" : choice.proxy->name, row.proxy) << row.what;
    EXPECT_EQ(choice.refusal != nullptr, row.refused) << row.what;
  }
}

TEST(ChooseProxy, NoProxyHoldsForTheRulesProxyAndForTheRequests) {
  const PolicyBook book(Rules());
  const Url inside = *Url::Parse("https://a.inside.test/");
  const std::string wanted = "open";
  EXPECT_EQ(ChooseProxy(book, kClosed, inside, nullptr).proxy, nullptr);
  const ProxyChoice asked = ChooseProxy(book, kSilent, inside, &wanted);
  EXPECT_EQ(asked.proxy, nullptr);
  EXPECT_EQ(asked.refusal, nullptr);
}

TEST(ChooseRouteAgain, AnotherOriginHasItsOwnRuleAndTheWishCountsWhereItMay) {
  PolicyRules rules = Rules();
  PolicyRules::Rule strict{.hosts = {"strict.test"}, .origin = {}, .calls = std::vector<CallPolicy>(1)};
  strict.calls[0].proxy = kClosed;
  rules.rules.push_back(strict);
  const PolicyBook book(rules);
  FetchSpec spec;
  spec.wanted_proxy = std::make_shared<const std::string>("open");
  const auto route = [&](const char* url) {
    spec.url = *Url::Parse(url);
    ChooseRouteAgain(book, spec);
    return spec.route.proxy == nullptr ? "" : spec.route.proxy->name;
  };
  EXPECT_EQ(route("https://origin.test/"), "open");
  EXPECT_EQ(route("https://strict.test/"), "closed");
  EXPECT_EQ(route("https://inside.test/"), "");
  EXPECT_EQ(route("https://origin.test/"), "open");
  spec.wanted_proxy = nullptr;
  EXPECT_EQ(route("https://origin.test/"), "");
  EXPECT_EQ(route("https://strict.test/"), "closed");
}

TEST(KeepProxies, WhatIsTheSameIsTheSameObjectAfterwards) {
  const PolicyBook before(Rules());
  PolicyRules after = Rules();
  after.proxies[1] = MakeProxy("open", false);
  after.proxies.push_back(MakeProxy("fresh", true));
  KeepProxies(before, after);
  EXPECT_EQ(after.proxies[0], before.proxies()[0]);
  EXPECT_NE(after.proxies[1], before.proxies()[1]);
  EXPECT_EQ(after.proxies[2]->name, "fresh");
}

TEST(KeepProxies, AnotherPasswordIsAnotherProxy) {
  const PolicyBook before(Rules());
  PolicyRules after = Rules();
  Proxy changed = *after.proxies[0];
  changed.password = "new";
  after.proxies[0] = std::make_shared<const Proxy>(changed);
  KeepProxies(before, after);
  EXPECT_NE(after.proxies[0], before.proxies()[0]);
}

}  // namespace
}  // namespace fetchd::server
