#include "fetchd/stream_range.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <ranges>
#include <vector>

#include "fetchd/mocks/mock_connection.h"
#include "gtest/gtest.h"

namespace fetchd {
namespace {

using mocks::MakeStreamRange;

static_assert(std::ranges::input_range<StreamRange<int>>);
static_assert(!std::is_copy_constructible_v<StreamRange<int>>);

TEST(StreamRange, YieldsValuesThenEnds) {
  std::vector<int> seen;
  StreamRange<int> range = MakeStreamRange<int>({1, 2, 3});
  for (const absl::StatusOr<int>& value : range) seen.push_back(*value);
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(range.Next(), std::nullopt);
}

TEST(StreamRange, EmptyRangeHasNoValues) {
  StreamRange<int> empty;
  EXPECT_EQ(empty.begin(), empty.end());
  StreamRange<int> ended = MakeStreamRange<int>({});
  EXPECT_EQ(ended.begin(), ended.end());
}

TEST(StreamRange, ErrorIsTheLastValue) {
  StreamRange<int> range = MakeStreamRange<int>({1}, absl::UnavailableError("gone"));
  auto it = range.begin();
  EXPECT_EQ(**it, 1);
  ++it;
  EXPECT_EQ(it->status(), absl::UnavailableError("gone"));
  ++it;
  EXPECT_EQ(it, range.end());
}

TEST(StreamRange, SecondBeginDoesNotReadAgain) {
  StreamRange<int> range = MakeStreamRange<int>({1, 2});
  EXPECT_EQ(**range.begin(), 1);
  EXPECT_EQ(**range.begin(), 1);
}

TEST(StreamRange, ReadsNothingAhead) {
  int reads = 0;
  StreamRange<int> range([&]() -> std::optional<absl::StatusOr<int>> { return ++reads; });
  EXPECT_EQ(reads, 0);
  auto it = range.begin();
  EXPECT_EQ(reads, 1);
  ++it;
  EXPECT_EQ(reads, 2);
}

TEST(StreamRange, WorksWithStandardAlgorithms) {
  StreamRange<int> range = MakeStreamRange<int>({1, 2, 3, 4});
  EXPECT_EQ(std::ranges::count_if(range, [](const absl::StatusOr<int>& value) { return *value % 2 == 0; }), 2);
}

TEST(StreamRange, SourceIsDestroyedWithTheRangeOrAtItsEnd) {
  auto token = std::make_shared<int>(0);
  const auto make = [&](int values) {
    return StreamRange<int>([token, values]() mutable -> std::optional<absl::StatusOr<int>> {
      if (values-- == 0) return std::nullopt;
      return values;
    });
  };
  {
    StreamRange<int> early = make(3);
    early.Next();
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
  StreamRange<int> whole = make(1);
  whole.Next();
  whole.Next();
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace fetchd
