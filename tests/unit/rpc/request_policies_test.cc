// What a request leaves unset comes from the rule of its origin and from its profile.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "model/proxy.h"
#include "rpc/request_reader.h"
#include "support/fake_clock.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// A rule for *.example.com and a profile, which differ from the defaults and from each other.
PolicyRules SomeRules() {
  CallPolicy plain;
  CallPolicy of_rule;
  of_rule.timeouts.attempt = seconds(4);
  of_rule.timeouts.dns = seconds(3);
  of_rule.retry.max_attempts = 5;
  of_rule.priority = Priority::kInteractive;
  CallPolicy of_profile;
  of_profile.timeouts.total = seconds(300);
  of_profile.timeouts.attempt = seconds(60);
  of_profile.retry.statuses = {503};
  of_profile.retry.jitter = Jitter::kEqual;
  of_profile.hedge = {.enabled = true, .delay = milliseconds(20)};
  of_profile.priority = Priority::kBulk;
  PolicyRules rules;
  rules.profiles = {"nightly"};
  rules.calls = {plain, of_profile};
  rules.rules.push_back({.hosts = {"*.example.com"}, .origin = {}, .calls = {of_rule, of_profile}});
  rules.callers = {{.pattern = "test*", .weight = 7}};
  return rules;
}

// Starts nothing.
class NoStarter final : public FetchStarter {
 public:
  absl::Status CheckUrl(const Url&) const override { return absl::OkStatus(); }
  void Start(std::shared_ptr<FetchCall>) override { ADD_FAILURE() << "reached the network"; }
  void Cancel(const std::shared_ptr<FetchCall>&) override {}
};

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class RequestPoliciesTest : public ::testing::Test {
 protected:
  RequestReader Reader() { return RequestReader(ReaderOptions{.policies = &policies_}, starter_, ids_); }
  RpcFacts Facts() { return {.caller = "tester", .now = clock_.Now(), .wall_now = clock_.WallNow()}; }
  FetchSpec Read(const std::string& text) {
    auto read = Reader().ReadFetch(Parse<v1::FetchRequest>(text), Facts());
    EXPECT_TRUE(std::holds_alternative<FetchSpec>(read)) << text;
    return std::holds_alternative<FetchSpec>(read) ? std::get<FetchSpec>(std::move(read)) : FetchSpec();
  }

  FakeClock clock_;
  NoStarter starter_;
  FetchIds ids_{0x1234};
  PolicySource policies_{std::make_shared<const PolicyBook>(SomeRules())};
};

TEST_F(RequestPoliciesTest, TakesWhatIsUnsetFromTheOriginsRule) {
  const FetchSpec other = Read("url: 'http://h/'");
  EXPECT_EQ(other.timeouts.attempt, seconds(10));
  EXPECT_EQ(other.priority, Priority::kNormal);
  const FetchSpec spec = Read("url: 'http://api.example.com/' timeouts { dns { seconds: 1 } }");
  EXPECT_EQ(spec.timeouts.attempt, seconds(4));
  EXPECT_EQ(spec.timeouts.dns, seconds(1)) << "what the request says wins";
  EXPECT_EQ(spec.retry.max_attempts, 5);
  EXPECT_EQ(spec.priority, Priority::kInteractive);
  EXPECT_FALSE(spec.hedge.enabled);
  EXPECT_EQ(spec.weight, 7U);
}

TEST_F(RequestPoliciesTest, TakesWhatIsUnsetFromTheProfile) {
  const FetchSpec spec = Read("url: 'http://api.example.com/' profile: 'nightly'");
  EXPECT_EQ(spec.timeouts.total, seconds(300));
  EXPECT_EQ(spec.deadline, clock_.Now() + seconds(300));
  EXPECT_EQ(spec.retry.statuses, StatusSet{503});
  EXPECT_EQ(spec.retry.jitter, Jitter::kEqual);
  EXPECT_TRUE(spec.hedge.enabled);
  EXPECT_EQ(spec.hedge.delay, milliseconds(20));
  EXPECT_EQ(spec.priority, Priority::kBulk);
}

TEST_F(RequestPoliciesTest, TheRequestWinsOverTheProfile) {
  const FetchSpec spec = Read(R"(
      url: 'http://h/' profile: 'nightly' timeouts { total { seconds: 2 } }
      retry { jitter: JITTER_NONE retry_statuses: 429 retry_statuses: 500 } hedge { enabled: false }
      priority: PRIORITY_NORMAL)");
  EXPECT_EQ(spec.timeouts.total, seconds(2));
  EXPECT_EQ(spec.timeouts.attempt, seconds(60));
  EXPECT_EQ(spec.retry.statuses, (StatusSet{429, 500}));
  EXPECT_EQ(spec.retry.jitter, Jitter::kNone);
  EXPECT_FALSE(spec.hedge.enabled);
  EXPECT_EQ(spec.hedge.delay, milliseconds(20));
  EXPECT_EQ(spec.priority, Priority::kNormal);
}

TEST_F(RequestPoliciesTest, AnEmptyPolicyOfTheRequestChangesNothing) {
  const FetchSpec spec = Read("url: 'http://h/' profile: 'nightly' timeouts {} retry {} hedge {}");
  EXPECT_EQ(spec.timeouts.attempt, seconds(60));
  EXPECT_EQ(spec.retry.statuses, StatusSet{503});
  EXPECT_TRUE(spec.hedge.enabled);
}

TEST_F(RequestPoliciesTest, AnUnknownProfileOfABatchItemIsTheItemsFailure) {
  auto good = Reader().ReadBatchItem(Parse<v1::FetchRequest>("url: 'http://h/' profile: 'nightly'"), 0, Facts());
  EXPECT_EQ(std::get<FetchSpec>(good).priority, Priority::kBulk);
  auto bad = Reader().ReadBatchItem(Parse<v1::FetchRequest>("url: 'http://h/' profile: 'Nightly'"), 4, Facts());
  EXPECT_EQ(std::get<ItemFailure>(bad).failure.code, FailureCode::kRequestInvalid);
  EXPECT_THAT(std::get<ItemFailure>(bad).failure.detail, HasSubstr("requests[4].profile"));
}

TEST_F(RequestPoliciesTest, AStreamsTotalAndAttemptAreNotTheProfiles) {
  auto read =
      Reader().ReadStreamStart(Parse<v1::FetchStreamStart>("request { url: 'http://h/' profile: 'nightly' }"), Facts());
  const FetchSpec& spec = std::get<StreamSpec>(read).fetch;
  EXPECT_EQ(spec.timeouts.total, kForever);
  EXPECT_EQ(spec.timeouts.attempt, kForever);
  EXPECT_EQ(spec.priority, Priority::kBulk);
}

TEST_F(RequestPoliciesTest, ANewBookHoldsFromTheNextRequestOn) {
  const RequestReader reader = Reader();
  const auto attempts = [&] {
    auto read = reader.ReadFetch(Parse<v1::FetchRequest>("url: 'http://h/'"), Facts());
    return std::get<FetchSpec>(read).retry.max_attempts;
  };
  EXPECT_EQ(attempts(), 3);
  PolicyRules rules;
  rules.calls[0].retry.max_attempts = 1;
  policies_.Publish(std::make_shared<const PolicyBook>(std::move(rules)));
  EXPECT_EQ(attempts(), 1);
}

// "office", which requests may name, and "closed", which they may not and through which strict.test is reached.
PolicyRules RulesWithProxies() {
  PolicyRules rules;
  for (const char* name : {"office", "closed"}) {
    Proxy proxy;
    proxy.name = name;
    proxy.on_request = proxy.name == "office";
    rules.proxies.push_back(std::make_shared<const Proxy>(proxy));
  }
  CallPolicy strict;
  strict.proxy = {.proxy = 1, .prescribed = true, .may_override = false};
  rules.rules.push_back({.hosts = {"strict.test"}, .origin = {}, .calls = {strict}});
  return rules;
}

TEST_F(RequestPoliciesTest, ARequestGoesThroughTheProxyOfItsRuleOrTheOneItNames) {
  policies_.Publish(std::make_shared<const PolicyBook>(RulesWithProxies()));
  const auto proxy = [&](const char* text) {
    const FetchSpec spec = Read(text);
    return spec.route.proxy == nullptr ? "" : spec.route.proxy->name;
  };
  EXPECT_EQ(proxy("url: 'http://a.test/'"), "");
  EXPECT_EQ(proxy("url: 'http://a.test/' transport {}"), "");
  EXPECT_EQ(proxy("url: 'http://a.test/' transport { proxy: 'office' }"), "office");
  EXPECT_EQ(proxy("url: 'http://a.test/' transport { proxy: 'direct' }"), "");
  EXPECT_EQ(proxy("url: 'http://strict.test/'"), "closed");
  EXPECT_EQ(proxy("url: 'http://strict.test/' transport { proxy: 'closed' }"), "closed");
}

TEST_F(RequestPoliciesTest, AProxyThatARequestMayNotHaveIsNamedAsTheField) {
  policies_.Publish(std::make_shared<const PolicyBook>(RulesWithProxies()));
  for (const char* text :
       {"url: 'http://a.test/' transport { proxy: 'nobody' }", "url: 'http://a.test/' transport { proxy: 'closed' }",
        "url: 'http://strict.test/' transport { proxy: 'office' }",
        "url: 'http://strict.test/' transport { proxy: 'direct' }"}) {
    auto read = Reader().ReadFetch(Parse<v1::FetchRequest>(text), Facts());
    ASSERT_TRUE(std::holds_alternative<Refusal>(read)) << text;
    const auto& invalid = std::get<InvalidRequest>(std::get<Refusal>(read));
    ASSERT_EQ(invalid.violations.size(), 1u) << text;
    EXPECT_EQ(invalid.violations[0].field, "transport.proxy");
  }
}

}  // namespace
}  // namespace fetchd::server
