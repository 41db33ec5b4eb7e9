#include "engine/origin_state.h"

#include <gtest/gtest.h>

#include <string>

#include "support/loop.h"

namespace fetchd::server {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class OriginTableTest : public testing::Test {
 protected:
  Origin Named(std::string host) { return {Scheme::kHttp, std::move(host), 80}; }
  FakeClock clock_;
  Loop loop_{clock_};
  ThreadMetrics metrics_;
  Random random_{1};
  PolicySource policies_;
};

TEST_F(OriginTableTest, AStateIsMadeOnceAndRememberedForAWhile) {
  OriginTable table({.idle_timeout = minutes(5)}, policies_, 128, loop_.clock(), loop_.timers(), random_, metrics_);
  OriginState* a = nullptr;
  {
    OriginRef ref(table, table.Get(Named("a")));
    a = &*ref;
    loop_.Advance(minutes(60));
    EXPECT_EQ(table.size(), 1u);
  }
  loop_.Advance(minutes(5) - seconds(1));
  EXPECT_EQ(&table.Get(Named("a")), a);
  loop_.Advance(seconds(1));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(metrics_.origins.value(), 0);
}

TEST_F(OriginTableTest, AnOriginTakesTheRulesThatWerePublishedLast) {
  OriginTable table({}, policies_, 128, loop_.clock(), loop_.timers(), random_, metrics_);
  OriginRef known(table, table.Get(Named("a.test")));
  EXPECT_EQ(known->brain.rule, "");
  known->brain.breaker.ForceOpen(loop_.clock().Now());
  PolicyRules rules;
  PolicyRules::Rule& rule = rules.rules.emplace_back();
  rule.hosts.emplace_back("a.test");
  rule.calls = rules.calls;
  rule.origin.rate_limit.per_second = 5;
  policies_.Publish(std::make_shared<const PolicyBook>(std::move(rules)));
  EXPECT_EQ(&table.Get(Named("a.test")), &*known);
  EXPECT_EQ(known->brain.rule, "a.test");
  EXPECT_EQ(known->brain.gate.rate_limit().options().per_second, 5);
  // What was learnt stays.
  EXPECT_EQ(known->brain.breaker.state(loop_.clock().Now()), BreakerState::kOpen);
  EXPECT_EQ(table.Get(Named("b")).brain.rule, "");
}

TEST_F(OriginTableTest, UseStartsTheTimeAnew) {
  OriginTable table({.idle_timeout = minutes(5)}, policies_, 128, loop_.clock(), loop_.timers(), random_, metrics_);
  { OriginRef ref(table, table.Get(Named("a"))); }
  loop_.Advance(minutes(4));
  { OriginRef ref(table, table.Get(Named("a"))); }
  loop_.Advance(minutes(4));
  EXPECT_EQ(table.size(), 1u);
  loop_.Advance(minutes(1));
  EXPECT_EQ(table.size(), 0u);
}

TEST_F(OriginTableTest, TheLongestUnusedGoesWhenThereAreTooMany) {
  OriginTable table({.max_unused = 3}, policies_, 128, loop_.clock(), loop_.timers(), random_, metrics_);
  OriginRef used(table, table.Get(Named("used")));
  for (int i = 0; i < 1000; ++i) {
    OriginRef ref(table, table.Get(Named(std::to_string(i).insert(0, 1, 'h'))));
    EXPECT_LE(table.size(), 5u);
  }
  EXPECT_EQ(table.size(), 4u);
  EXPECT_EQ(metrics_.origins.value(), 4);
  table.DropUnused();
  EXPECT_EQ(table.size(), 1u);
}

}  // namespace
}  // namespace fetchd::server
