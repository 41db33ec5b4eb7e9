#include "policy/policy_book.h"

#include <gtest/gtest.h>

#include <thread>

namespace fetchd::server {
namespace {

Origin At(const std::string& host, uint16_t port = 80) { return {.scheme = Scheme::kHttp, .host = host, .port = port}; }

CallPolicy Attempts(int n) {
  CallPolicy policy;
  policy.retry.max_attempts = n;
  return policy;
}

// A rule without profiles whose attempts tell which it is.
PolicyRules::Rule Rule(std::vector<std::string> hosts, int attempts) {
  OriginPolicy origin;
  origin.breaker.trials = attempts;
  return {.hosts = std::move(hosts), .origin = origin, .calls = {Attempts(attempts)}};
}

TEST(PolicyBook, WithoutRulesIsTheDefaults) {
  const PolicyBook book;
  EXPECT_EQ(book.ForOrigin(At("h")).rule, "");
  EXPECT_EQ(book.ForCall(At("h"), "")->retry.max_attempts, 3);
  EXPECT_EQ(book.ForCall(At("h"), "")->priority, Priority::kNormal);
  EXPECT_EQ(book.ForCall(At("h"), "nightly"), nullptr);
  EXPECT_EQ(book.WeightOf("anyone"), 1u);
  EXPECT_EQ(book.RuleOf(At("h")), -1);
}

TEST(PolicyBook, AnExactHostBeatsTheLongestPatternAndThatTheShorterOnes) {
  PolicyRules rules;
  rules.rules.push_back(Rule({"*"}, 4));
  rules.rules.push_back(Rule({"*.example.com", "other"}, 5));
  rules.rules.push_back(Rule({"*.eu.example.com"}, 6));
  rules.rules.push_back(Rule({"api.eu.example.com"}, 7));
  const PolicyBook book(std::move(rules));
  struct Row {
    const char* host;
    const char* rule;
    int attempts;
  };
  for (const Row& row : {Row{"api.eu.example.com", "api.eu.example.com", 7},
                         {"www.eu.example.com", "*.eu.example.com", 6},
                         {"a.b.eu.example.com", "*.eu.example.com", 6},
                         {"eu.example.com", "*.example.com", 5},
                         {"www.example.com", "*.example.com", 5},
                         {"other", "other", 5},
                         {"example.com", "*", 4},
                         {"badexample.com", "*", 4},
                         {"com", "*", 4},
                         {"192.0.2.1", "*", 4},
                         {"2001:db8::1", "*", 4},
                         // The same hosts, though other origins.
                         {"api.eu.example.com.", "api.eu.example.com", 7},
                         {"www.example.com.", "*.example.com", 5},
                         {"example.com.", "*", 4}}) {
    EXPECT_EQ(book.ForOrigin(At(row.host)).rule, row.rule) << row.host;
    EXPECT_EQ(book.ForOrigin(At(row.host)).breaker.trials, row.attempts) << row.host;
    EXPECT_EQ(book.ForCall(At(row.host), "")->retry.max_attempts, row.attempts) << row.host;
    EXPECT_EQ(book.ForOrigin(At(row.host, 8443)).rule, row.rule) << "every port";
  }
}

TEST(PolicyBook, WhatNoRuleMatchesHasTheDefaults) {
  PolicyRules rules;
  rules.origin.breaker.trials = 9;
  rules.calls = {Attempts(8)};
  rules.rules.push_back(Rule({"h", "*.h"}, 5));
  const PolicyBook book(std::move(rules));
  EXPECT_EQ(book.ForOrigin(At("g")).breaker.trials, 9);
  EXPECT_EQ(book.ForOrigin(At("g")).rule, "");
  EXPECT_EQ(book.ForCall(At("g"), "")->retry.max_attempts, 8);
  EXPECT_EQ(book.RuleOf(At("g")), -1);
  EXPECT_EQ(book.RuleOf(At("a.h")), 0);
}

TEST(PolicyBook, OfEqualPatternsTheFirstCounts) {
  PolicyRules rules;
  rules.rules.push_back(Rule({"h", "*.h"}, 4));
  rules.rules.push_back(Rule({"h", "*.h"}, 5));
  const PolicyBook book(std::move(rules));
  EXPECT_EQ(book.RuleOf(At("h")), 0);
  EXPECT_EQ(book.RuleOf(At("a.h")), 0);
}

TEST(PolicyBook, AProfileIsChosenWithinTheRule) {
  PolicyRules rules;
  rules.profiles = {"a", "b"};
  rules.calls = {Attempts(1), Attempts(2), Attempts(3)};
  rules.rules.push_back({.hosts = {"h"}, .origin = {}, .calls = {Attempts(4), Attempts(5), Attempts(6)}});
  const PolicyBook book(std::move(rules));
  EXPECT_EQ(book.ForCall(At("g"), "")->retry.max_attempts, 1);
  EXPECT_EQ(book.ForCall(At("g"), "a")->retry.max_attempts, 2);
  EXPECT_EQ(book.ForCall(At("g"), "b")->retry.max_attempts, 3);
  EXPECT_EQ(book.ForCall(At("h"), "")->retry.max_attempts, 4);
  EXPECT_EQ(book.ForCall(At("h"), "a")->retry.max_attempts, 5);
  EXPECT_EQ(book.ForCall(At("h"), "b")->retry.max_attempts, 6);
  EXPECT_EQ(book.ForCall(At("h"), "c"), nullptr);
  EXPECT_EQ(book.ForCall(At("g"), "A"), nullptr) << "names are case-sensitive";
}

TEST(PolicyBook, AnExactCallerBeatsTheLongestPattern) {
  PolicyRules rules;
  rules.callers = {{.pattern = "*", .weight = 2},
                   {.pattern = "batch-*", .weight = 3},
                   {.pattern = "*.internal", .weight = 4},
                   {.pattern = "batch-7", .weight = 5}};
  const PolicyBook book(std::move(rules));
  EXPECT_EQ(book.WeightOf("x"), 2u);
  EXPECT_EQ(book.WeightOf("batch-1"), 3u);
  EXPECT_EQ(book.WeightOf("a.internal"), 4u);
  EXPECT_EQ(book.WeightOf("batch-1.internal"), 4u) << "the longer pattern";
  EXPECT_EQ(book.WeightOf("batch-7"), 5u);
}

std::shared_ptr<const PolicyBook> BookOf(int attempts) {
  PolicyRules rules;
  rules.calls = {Attempts(attempts)};
  return std::make_shared<const PolicyBook>(std::move(rules));
}

TEST(PolicySource, ShowsTheBookThatWasPublishedLast) {
  PolicySource source(BookOf(1));
  EXPECT_EQ(source.Current().ForCall(At("h"), "")->retry.max_attempts, 1);
  const uint64_t before = source.version();
  EXPECT_EQ(source.version(), before);
  source.Publish(BookOf(2));
  EXPECT_NE(source.version(), before);
  EXPECT_EQ(source.Current().ForCall(At("h"), "")->retry.max_attempts, 2);
  EXPECT_EQ(source.Get()->ForCall(At("h"), "")->retry.max_attempts, 2);
}

TEST(PolicySource, TwoOfThemAreNotMixedUp) {
  PolicySource one(BookOf(1));
  PolicySource two(BookOf(2));
  EXPECT_NE(one.version(), two.version());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(one.Current().ForCall(At("h"), "")->retry.max_attempts, 1);
    EXPECT_EQ(two.Current().ForCall(At("h"), "")->retry.max_attempts, 2);
  }
}

TEST(PolicySource, AnOldBookStaysForWhoHoldsItAndEndsAfter) {
  std::shared_ptr<const PolicyBook> first = BookOf(1);
  const std::weak_ptr<const PolicyBook> watched = first;
  PolicySource source(std::move(first));
  EXPECT_EQ(source.Current().ForCall(At("h"), "")->retry.max_attempts, 1);
  std::shared_ptr<const PolicyBook> held = source.Get();
  source.Publish(BookOf(2));
  source.Current();
  EXPECT_EQ(held->ForCall(At("h"), "")->retry.max_attempts, 1);
  held.reset();
  EXPECT_TRUE(watched.expired()) << "no book is kept";
}

TEST(PolicySource, ReadersOnOtherThreadsSeeWholeBooks) {
  PolicySource source(BookOf(1));
  std::atomic<bool> ended = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      int last = 0;
      while (!ended.load()) {
        const int now = source.Current().ForCall(At("h"), "")->retry.max_attempts;
        EXPECT_GE(now, last) << "never an older one again";
        last = now;
      }
    });
  }
  for (int n = 2; n <= 300; ++n) source.Publish(BookOf(n));
  ended = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(source.Current().ForCall(At("h"), "")->retry.max_attempts, 300);
}

}  // namespace
}  // namespace fetchd::server
