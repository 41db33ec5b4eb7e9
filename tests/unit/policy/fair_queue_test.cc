#include "policy/fair_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"

namespace fetchd::server {
namespace {

struct Item : FairQueue::Node {
  std::string caller;
  int number = 0;
  Priority priority = Priority::kNormal;
};

bool Anybody(const FairQueue::Node&) { return true; }

class FairQueueTest : public testing::Test {
 protected:
  ~FairQueueTest() override {
    for (Item& item : items_)
      if (item.queued()) queue_.Remove(item);
  }
  Item& Push(const std::string& caller, uint32_t weight = 1, Priority priority = Priority::kNormal) {
    Item& item = items_.emplace_back();
    item.caller = caller;
    item.number = ++numbers_[caller];
    item.priority = priority;
    queue_.Push(item, caller, weight, priority);
    return item;
  }
  Item* Serve() {
    FairQueue::Node* node = queue_.Next(Anybody);
    if (node != nullptr) queue_.Remove(*node);
    return static_cast<Item*>(node);
  }
  // Who is served, one letter each.
  std::string Served(int count) {
    std::string served;
    for (int i = 0; i < count; ++i) {
      Item* item = Serve();
      if (item == nullptr) break;
      served += item->caller;
    }
    return served;
  }

  FairQueue queue_;
  std::deque<Item> items_;
  std::map<std::string, int> numbers_;
};

TEST_F(FairQueueTest, OneCallerIsServedInOrder) {
  for (int i = 0; i < 5; ++i) Push("a");
  EXPECT_EQ(queue_.size(), 5u);
  EXPECT_EQ(queue_.waiting("a", Priority::kNormal), 5u);
  EXPECT_EQ(queue_.waiting("a", Priority::kBulk), 0u);
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(Serve()->number, i);
  EXPECT_EQ(Serve(), nullptr);
  EXPECT_EQ(queue_.size(), 0u);
  EXPECT_EQ(queue_.callers(Priority::kNormal), 0u);
}

TEST_F(FairQueueTest, CallersTakeTurns) {
  for (int i = 0; i < 4; ++i) Push("a");
  for (int i = 0; i < 2; ++i) Push("b");
  Push("c");
  EXPECT_EQ(Served(9), "abcabaa");
}

TEST_F(FairQueueTest, WeightIsTurnsInARow) {
  for (int i = 0; i < 6; ++i) Push("a", 1);
  for (int i = 0; i < 6; ++i) Push("b", 3);
  EXPECT_EQ(Served(12), "abbbabbbaaaa");
}

TEST_F(FairQueueTest, WeightZeroCountsAsOne) {
  for (int i = 0; i < 2; ++i) Push("a", 0);
  for (int i = 0; i < 2; ++i) Push("b", 0);
  EXPECT_EQ(Served(4), "abab");
}

TEST_F(FairQueueTest, OneItemBehindAHundredThousandIsNextOrNextButOne) {
  for (int i = 0; i < 100'000; ++i) Push("a");
  for (int served = 0; served < 50; ++served) {
    Push("b");
    const std::string next = Served(2);
    EXPECT_TRUE(next == "ba" || next == "ab") << next;
  }
}

TEST_F(FairQueueTest, WhoGivesUpCostsNoTurn) {
  Item& first = Push("a");
  Push("a");
  Item& third = Push("a");
  Push("b");
  queue_.Remove(first);
  queue_.Remove(third);
  EXPECT_FALSE(first.queued());
  EXPECT_EQ(Served(3), "ab");
}

TEST_F(FairQueueTest, ACallerGivesUpDuringItsTurn) {
  Item& a1 = Push("a", 3);
  Item& a2 = Push("a", 3);
  Push("b");
  Push("c");
  EXPECT_EQ(Serve(), &a1);
  queue_.Remove(a2);
  EXPECT_EQ(Served(3), "bc");
}

TEST_F(FairQueueTest, NextChangesNothing) {
  Push("a");
  Push("b");
  FairQueue::Node* once = queue_.Next(Anybody);
  EXPECT_EQ(queue_.Next(Anybody), once);
  EXPECT_EQ(queue_.size(), 2u);
}

TEST_F(FairQueueTest, WhoMayNotGoIsPassedOver) {
  for (int i = 0; i < 3; ++i) Push("a");
  for (int i = 0; i < 3; ++i) Push("b");
  const auto only_b = [](const FairQueue::Node& node) { return static_cast<const Item&>(node).caller == "b"; };
  for (int i = 1; i <= 3; ++i) {
    FairQueue::Node* node = queue_.Next(only_b);
    ASSERT_NE(node, nullptr);
    EXPECT_EQ(static_cast<Item*>(node)->number, i);
    queue_.Remove(*node);
  }
  EXPECT_EQ(queue_.Next(only_b), nullptr);
  EXPECT_EQ(Served(4), "aaa");
}

TEST_F(FairQueueTest, ALowerPriorityGoesIfTheHigherMayNot) {
  Push("a", 1, Priority::kInteractive);
  Push("b", 1, Priority::kBulk);
  FairQueue::Node* node =
      queue_.Next([](const FairQueue::Node& n) { return static_cast<const Item&>(n).priority == Priority::kBulk; });
  ASSERT_NE(node, nullptr);
  queue_.Remove(*node);
  EXPECT_EQ(Served(2), "a");
}

TEST_F(FairQueueTest, PrioritiesShareSixteenToFourToOne) {
  for (int i = 0; i < 2100; ++i) {
    Push("i", 1, Priority::kInteractive);
    Push("n", 1, Priority::kNormal);
    Push("b", 1, Priority::kBulk);
  }
  std::map<char, int> served;
  int since_bulk = 0, longest = 0;
  for (char c : Served(2100)) {
    ++served[c];
    since_bulk = c == 'b' ? 0 : since_bulk + 1;
    longest = std::max(longest, since_bulk);
  }
  EXPECT_EQ(served['i'], 1600);
  EXPECT_EQ(served['n'], 400);
  EXPECT_EQ(served['b'], 100);
  EXPECT_LE(longest, 21);  // bulk never starves
}

TEST_F(FairQueueTest, AnInteractiveItemGoesBeforeAnyAmountOfBulk) {
  for (int i = 0; i < 1000; ++i) Push("b", 1000, Priority::kBulk);
  for (int i = 0; i < 100; ++i) {
    Push("i", 1, Priority::kInteractive);
    const std::string next = Served(2);
    EXPECT_TRUE(next == "ib" || next == "bi") << next;
    Served(i % 3);
  }
}

TEST_F(FairQueueTest, SharesFollowWeightsWhileCallersComeAndGo) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    std::array<uint32_t, 6> weights;
    uint32_t sum = 0;
    for (uint32_t& weight : weights) sum += weight = 1 + random() % 9;
    std::array<std::deque<Item*>, 6> waiting;
    const auto fill = [&](size_t c) {
      while (waiting[c].size() < 3) waiting[c].push_back(&Push(std::string(1, static_cast<char>('a' + c)), weights[c]));
    };
    std::array<int, 6> served{};
    constexpr int kRounds = 20'000;
    for (int i = 0; i < kRounds; ++i) {
      for (size_t c = 0; c < weights.size(); ++c) fill(c);
      // Now and then the last in line gives up.
      const size_t leaver = random() % weights.size();
      if (random() % 4 == 0) {
        queue_.Remove(*waiting[leaver].back());
        waiting[leaver].pop_back();
      }
      Item* item = Serve();
      ASSERT_NE(item, nullptr);
      const auto c = static_cast<size_t>(item->caller[0] - 'a');
      ASSERT_EQ(item, waiting[c].front());
      waiting[c].pop_front();
      ++served[c];
    }
    for (size_t c = 0; c < weights.size(); ++c) {
      const double share = static_cast<double>(weights[c]) / sum;
      EXPECT_NEAR(served[c] / static_cast<double>(kRounds), share, share * 0.02);
    }
    for (std::deque<Item*>& of : waiting)
      for (Item* item : of) queue_.Remove(*item);
    items_.clear();
    EXPECT_EQ(queue_.size(), 0u);
  }
}

// Counts what the queue looks at: the same for one waiting item and for 100,000.
TEST_F(FairQueueTest, AHundredThousandItemsCostNoMoreEach) {
  for (int i = 0; i < 100'000; ++i) Push(std::string(1, static_cast<char>('a' + i % 4)));
  size_t looks = 0;
  for (int i = 0; i < 100'000; ++i) {
    FairQueue::Node* node = queue_.Next([&](const FairQueue::Node&) { return ++looks, true; });
    ASSERT_NE(node, nullptr);
    queue_.Remove(*node);
  }
  EXPECT_EQ(looks, 100'000u);
  EXPECT_EQ(queue_.size(), 0u);
}

// Many callers, each with one item: their entries come and go.
TEST_F(FairQueueTest, ManyCallersGoInTurn) {
  for (int i = 0; i < 20'000; ++i) Push(std::to_string(i));
  EXPECT_EQ(queue_.callers(Priority::kNormal), 20'000u);
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(Serve()->caller, std::to_string(i));
  EXPECT_EQ(queue_.callers(Priority::kNormal), 0u);
}

}  // namespace
}  // namespace fetchd::server
