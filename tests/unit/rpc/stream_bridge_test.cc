#include "rpc/stream_bridge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "support/loop.h"

namespace fetchd::server {
namespace {

using ::testing::Each;
using ::testing::SizeIs;

class CountingListener final : public StreamListener {
 public:
  void OnBridge() override { ++calls; }
  int calls = 0;
};

class StreamBridgeTest : public ::testing::Test {
 protected:
  void Make(std::optional<StreamBridge::Upload> upload = std::nullopt) {
    bridge_ = std::make_shared<StreamBridge>(loop_.executor(), listener_, upload, buffered_, clock_);
    bridge_->OnStart(loop_.executor());
  }
  ~StreamBridgeTest() override {
    if (bridge_ == nullptr) return;
    bridge_->Detach();
    bridge_->OnDone({});
    bridge_->TakeHead();
    bridge_->TakePieces();
    loop_.Poll();
    EXPECT_EQ(buffered_.value(), 0);
    EXPECT_EQ(bridge_.use_count(), 1) << "blocks and bridge keep each other";
  }
  // Fills all the credit there is; returns how much.
  size_t Fill() {
    size_t filled = 0;
    for (;;) {
      const std::span<char> room = bridge_->Prepare(64 * 1024);
      if (room.empty()) return filled;
      std::fill(room.begin(), room.end(), static_cast<char>('a' + next_++ % 26));
      bridge_->Commit(room.size());
      filled += room.size();
    }
  }
  // Lets so much pass that the next block is of this size.
  void GrowTo(size_t block_size) {
    for (uint64_t passed = 0; passed < 16 * block_size; passed += 64 * 1024) {
      bridge_->Prepare(64 * 1024);
      bridge_->Commit(64 * 1024);
      while (!bridge_->TakePieces().empty()) {
      }
    }
  }
  static size_t Size(const std::vector<StreamBridge::Piece>& pieces) {
    size_t size = 0;
    for (const auto& piece : pieces) size += piece.size;
    return size;
  }

  FakeClock clock_;
  Loop loop_{clock_};
  CountingListener listener_;
  SharedCell buffered_;
  std::shared_ptr<StreamBridge> bridge_;
  int next_ = 0;
};

TEST(BlockSize, GrowsWithWhatHasPassedAndBeginsAnewForACallerThatIsSlow) {
  BlockSize size;
  for (int i = 0; i < 32; ++i) EXPECT_EQ(size.Take(0), BlockSize::kLeast) << i;
  EXPECT_EQ(size.Take(0), 2 * BlockSize::kLeast);
  size.OnStarved(BlockSize::kPatience);
  EXPECT_EQ(size.Take(0), 2 * BlockSize::kLeast);
  for (int i = 0; i < 200; ++i) size.Take(0);
  EXPECT_EQ(size.Take(0), BlockSize::kMost);
  EXPECT_EQ(size.Take(BlockSize::kMuch), BlockSize::kMost);
  EXPECT_EQ(size.Take(BlockSize::kMuch + 1), BlockSize::kMostWhenScarce);
  size.OnStarved(BlockSize::kPatience + Duration(1));
  EXPECT_EQ(size.Take(0), BlockSize::kLeast);
}

TEST_F(StreamBridgeTest, ASlowCallerStopsTheReadAfterTwoBlocks) {
  constexpr size_t kFirst = BlockSize::kLeast;
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  EXPECT_EQ(Fill(), 2 * kFirst);
  EXPECT_TRUE(bridge_->Prepare(1).empty());
  // Taking is not enough: gRPC still holds the bytes.
  std::vector<StreamBridge::Piece> in_flight = bridge_->TakePieces();
  EXPECT_EQ(Size(in_flight), 2 * kFirst);
  EXPECT_TRUE(bridge_->Prepare(1).empty());
  std::optional<bool> woken;
  loop_.Start(WaitFor(bridge_->Writable(), loop_.scope()), woken);
  loop_.Poll();
  EXPECT_FALSE(woken);
  // The first block is sent.
  in_flight.erase(in_flight.begin());
  loop_.Poll();
  EXPECT_TRUE(woken.value_or(false));
  EXPECT_EQ(Fill(), kFirst);
}

TEST_F(StreamBridgeTest, ACallerThatIsSlowGetsSmallBlocksAgain) {
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  GrowTo(BlockSize::kMost);
  Fill();
  EXPECT_TRUE(bridge_->Prepare(1).empty());
  clock_.Advance(BlockSize::kPatience + std::chrono::milliseconds(1));
  while (!bridge_->TakePieces().empty()) {
  }
  EXPECT_EQ(Fill(), 2 * BlockSize::kLeast);
  EXPECT_EQ(buffered_.value(), static_cast<int64_t>(2 * BlockSize::kLeast)) << "what is spare is too large";
}

TEST_F(StreamBridgeTest, ChunksAreFilledUpToTheMostFromSeveralBlocks) {
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  GrowTo(BlockSize::kMost);
  Fill();
  std::string all;
  std::vector<size_t> sizes;
  for (;;) {
    const auto pieces = bridge_->TakePieces();
    if (pieces.empty()) break;
    sizes.push_back(Size(pieces));
    for (const auto& piece : pieces) all.append(piece.data(), piece.size);
    if (sizes.size() == 1) Fill();  // the first block is still held in part
  }
  EXPECT_THAT(sizes, SizeIs(4));
  EXPECT_THAT(sizes, Each(StreamBridge::kMaxChunk));
  // In order: each 64 KiB are of one letter, the next one of the alphabet.
  for (size_t i = 64 * 1024; i < all.size(); i += 64 * 1024)
    ASSERT_EQ((all[i] - all[i - 1] + 26) % 26, 1) << "at " << i;
}

TEST_F(StreamBridgeTest, AChunkMayEndInTheMiddleOfABlock) {
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  GrowTo(BlockSize::kMost);
  bridge_->Prepare(64 * 1024);
  bridge_->Commit(64 * 1024);
  bridge_->TakePieces();
  // The rest of this block, and as much of the next one as a chunk has room for.
  EXPECT_EQ(Fill(), 2 * BlockSize::kMost - 64 * 1024);
  EXPECT_EQ(Size(bridge_->TakePieces()), StreamBridge::kMaxChunk);
  const auto first = bridge_->TakePieces();
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(Size(first), StreamBridge::kMaxChunk);
  EXPECT_EQ(first[1].size, 64 * 1024U);
  const auto second = bridge_->TakePieces();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].block, first[1].block);
  EXPECT_EQ(second[0].at, 64 * 1024U);
}

TEST_F(StreamBridgeTest, SmallBodiesTakeSmallBlocks) {
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = 1000, .redirects = nullptr});
  EXPECT_EQ(bridge_->Prepare(1 << 20).size(), 1000U);
  bridge_->Commit(1000);
  EXPECT_EQ(Size(bridge_->TakePieces()), 1000U);
}

TEST_F(StreamBridgeTest, GivesWhatHasArrivedAndKeepsFillingTheSameBlock) {
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  const auto put = [this](std::string_view text) {
    const std::span<char> room = bridge_->Prepare(1 << 20);
    std::copy(text.begin(), text.end(), room.begin());
    bridge_->Commit(text.size());
  };
  put("one");
  const auto first = bridge_->TakePieces();
  EXPECT_TRUE(bridge_->TakePieces().empty());
  put("two");
  put("three");
  const auto second = bridge_->TakePieces();
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(std::string(first[0].data(), first[0].size), "one");
  EXPECT_EQ(std::string(second[0].data(), second[0].size), "twothree");
  EXPECT_EQ(first[0].block, second[0].block);
}

TEST_F(StreamBridgeTest, TheOutcomeComesAfterEverythingElse) {
  Make();
  bridge_->OnHead({.status = 204, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  bridge_->Prepare(10);
  bridge_->Commit(5);
  bridge_->OnDone({});
  EXPECT_FALSE(bridge_->TakeOutcome());
  EXPECT_EQ(bridge_->TakeHead()->status, 204);
  EXPECT_FALSE(bridge_->TakeOutcome());
  EXPECT_EQ(Size(bridge_->TakePieces()), 5U);
  EXPECT_TRUE(bridge_->TakeOutcome());
  EXPECT_FALSE(bridge_->TakeOutcome());
}

TEST_F(StreamBridgeTest, SaysBetweenWhichBytesItWasResumed) {
  Make();
  const auto commit = [&](size_t n) {
    ASSERT_GE(bridge_->Prepare(n).size(), n);
    bridge_->Commit(n);
  };
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  bridge_->TakeHead();
  commit(10);
  EXPECT_EQ(bridge_->TakeResumed(), std::nullopt);
  // By its own count: the offset is that of the body as it was sent.
  bridge_->OnResumed(7);
  commit(5);
  bridge_->OnResumed(9);
  bridge_->OnResumed(9);
  bridge_->OnDone({});
  EXPECT_EQ(bridge_->TakeResumed(), std::nullopt);
  EXPECT_FALSE(bridge_->TakeOutcome().has_value());
  EXPECT_EQ(Size(bridge_->TakePieces()), 10U);
  EXPECT_TRUE(bridge_->TakePieces().empty());
  EXPECT_EQ(bridge_->TakeResumed(), 10U);
  EXPECT_EQ(bridge_->TakeResumed(), std::nullopt);
  EXPECT_EQ(Size(bridge_->TakePieces()), 5U);
  EXPECT_FALSE(bridge_->TakeOutcome().has_value());
  EXPECT_EQ(bridge_->TakeResumed(), 15U);
  EXPECT_EQ(bridge_->TakeResumed(), 15U);
  EXPECT_EQ(bridge_->TakeResumed(), std::nullopt);
  EXPECT_TRUE(bridge_->TakeOutcome().has_value());
}

TEST_F(StreamBridgeTest, TellsHomeOnceForWhatArrivesTogether) {
  Make();
  bridge_->OnHead({.status = 200, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  for (int i = 0; i < 10; ++i) {
    bridge_->Prepare(10);
    bridge_->Commit(10);
  }
  EXPECT_EQ(listener_.calls, 0);
  loop_.Poll();
  EXPECT_EQ(listener_.calls, 1);
}

TEST_F(StreamBridgeTest, AFullUploadQueueStopsReadingFromTheCaller) {
  Make(StreamBridge::Upload{});
  RequestBody& body = *bridge_->request_body();
  std::string_view piece;
  EXPECT_EQ(body.Peek(piece), RequestBody::State::kWait);
  EXPECT_TRUE(bridge_->WantsUpload());
  bridge_->Push(std::string(StreamBridge::kUploadMark, 'x'));
  EXPECT_FALSE(bridge_->WantsUpload());
  ASSERT_EQ(body.Peek(piece), RequestBody::State::kData);
  EXPECT_EQ(piece.size(), StreamBridge::kUploadMark);
  body.Consume(1);
  loop_.Poll();
  EXPECT_EQ(listener_.calls, 1);
  EXPECT_TRUE(bridge_->WantsUpload());
}

TEST_F(StreamBridgeTest, AfterARedirectTheUploadIsNobodys) {
  Make(StreamBridge::Upload{});
  std::string_view piece;
  EXPECT_EQ(bridge_->request_body()->Peek(piece), RequestBody::State::kWait);
  // The next hop: its owner must not be woken for a body that it does not read.
  bridge_->OnStart(loop_.executor());
  bridge_->Push("abc");
  loop_.Poll();
  std::optional<bool> woken;
  loop_.Start(WaitFor(bridge_->request_body()->Readable(), loop_.scope()), woken);
  bridge_->Push("def");
  loop_.Poll();
  EXPECT_FALSE(woken.has_value());
  bridge_->OnHead({});
  EXPECT_GT(Fill(), 0U);
  loop_.scope().Cancel(FailureCode::kCancelled);
  loop_.Poll();
  EXPECT_FALSE(woken.value_or(true));
}

TEST_F(StreamBridgeTest, AnUploadEndsAfterItsLastByteAndFailsAtOnce) {
  Make(StreamBridge::Upload{7});
  RequestBody& body = *bridge_->request_body();
  EXPECT_EQ(body.length(), 7U);
  std::string_view piece;
  EXPECT_EQ(body.Peek(piece), RequestBody::State::kWait);
  std::optional<bool> woken;
  loop_.Start(WaitFor(body.Readable(), loop_.scope()), woken);
  bridge_->Push("abc");
  bridge_->Push("");
  bridge_->Push("defg");
  bridge_->EndUpload();
  loop_.Poll();
  EXPECT_TRUE(woken.value_or(false));
  std::string all;
  while (body.Peek(piece) == RequestBody::State::kData) {
    all += piece[0];
    body.Consume(1);
  }
  EXPECT_EQ(all, "abcdefg");
  EXPECT_EQ(body.Peek(piece), RequestBody::State::kEnd);
  bridge_->FailUpload();
  EXPECT_EQ(body.Peek(piece), RequestBody::State::kFailed);
}

}  // namespace
}  // namespace fetchd::server
