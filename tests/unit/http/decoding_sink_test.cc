#include "http/decoding_sink.h"

#include <gtest/gtest.h>

#include <cstring>

#include "coded.h"
#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

class DecodingSinkTest : public testing::Test {
 protected:
  static CodingList Codings() {
    CodingList list;
    list.codings = {ContentCoding::kGzip};
    list.size = 1;
    return list;
  }

  void Make(BodyLimit limit = {}, std::optional<uint64_t> content_length = std::nullopt) {
    sink_.emplace(next_, Codings(), limit, held_);
    ResponseHead head;
    head.status = 200;
    head.headers.Add("etag", "\"1\"");
    head.headers.Add("Content-Encoding", "gzip");
    head.headers.Add("content-length", "17");
    head.content_length = content_length;
    sink_->OnHead(std::move(head));
  }

  // Gives as much of `coded` as there is credit for; returns how much.
  size_t Feed(std::string_view coded, size_t piece = 1 << 20) {
    size_t fed = 0;
    while (fed < coded.size()) {
      const std::span<char> room = sink_->Prepare(std::min(piece, coded.size() - fed));
      if (room.empty()) break;
      const size_t n = std::min(room.size(), coded.size() - fed);
      std::memcpy(room.data(), coded.data() + fed, n);
      sink_->Commit(n);
      fed += n;
      if (sink_->refusal() != nullptr) break;
    }
    return fed;
  }

  Loop loop_;
  SharedCell held_;
  MemorySink next_{loop_.executor()};
  std::optional<DecodingSink> sink_;
};

TEST_F(DecodingSinkTest, TheHeadSaysWhatWasUndone) {
  Make({}, 17);
  const ResponseHead& head = next_.head();
  EXPECT_EQ(head.headers.size(), 1u);
  EXPECT_TRUE(head.headers.Has("etag"));
  EXPECT_FALSE(head.content_length.has_value());
  ASSERT_EQ(head.decoded.size, 1);
  EXPECT_EQ(head.decoded.codings[0], ContentCoding::kGzip);
}

TEST_F(DecodingSinkTest, NothingIsDecodedAheadOfCredit) {
  const std::string text(10'000, 'a');
  const std::string coded = Gzip(text);
  next_.SetCredit(100);
  Make();
  EXPECT_EQ(Feed(coded), coded.size());
  EXPECT_EQ(next_.body().size(), 100u);
  // What is left of it comes first.
  EXPECT_TRUE(sink_->Prepare(1).empty());
  EXPECT_EQ(sink_->refusal(), nullptr);

  std::optional<bool> done;
  loop_.Start(sink_->Flush(loop_.scope()), done);
  loop_.Poll();
  EXPECT_FALSE(done.has_value());
  next_.GiveCredit(5'000);
  loop_.Poll();
  EXPECT_EQ(next_.body().size(), 5'100u);
  EXPECT_FALSE(done.has_value());
  next_.GiveCredit(5'000);
  loop_.RunUntil([&] { return done.has_value(); });
  EXPECT_TRUE(*done);
  EXPECT_EQ(next_.body(), text);
  EXPECT_FALSE(sink_->CheckEnd().has_value());
}

TEST_F(DecodingSinkTest, AStoppedScopeEndsTheFlush) {
  next_.SetCredit(10);
  Make();
  Feed(Gzip(std::string(1000, 'a')));
  loop_.scope().Cancel(FailureCode::kCancelled);
  EXPECT_FALSE(loop_.Run(sink_->Flush(loop_.scope())));
}

TEST_F(DecodingSinkTest, TheLimitIsOfDecodedBytes) {
  const std::string text(1000, 'a');
  for (const uint64_t limit : {999, 1000, 1001}) {
    for (const size_t piece : {size_t{1}, size_t{1000}}) {
      next_.~MemorySink();
      new (&next_) MemorySink(loop_.executor());
      Make({.max_bytes = limit});
      Feed(Gzip(text), piece);
      if (limit < 1000) {
        ASSERT_NE(sink_->refusal(), nullptr);
        EXPECT_EQ(sink_->refusal()->code, FailureCode::kHttpResponseBodySize);
        EXPECT_FALSE(sink_->cut());
      } else {
        EXPECT_EQ(sink_->refusal(), nullptr);
        EXPECT_FALSE(sink_->CheckEnd().has_value());
      }
      EXPECT_EQ(next_.body().size(), std::min<uint64_t>(limit, 1000));
    }
  }
}

TEST_F(DecodingSinkTest, ABodyIsCutIfThatWasAskedFor) {
  Make({.max_bytes = 10, .truncate = true});
  Feed(Gzip(std::string(1000, 'a')));
  ASSERT_NE(sink_->refusal(), nullptr);
  EXPECT_TRUE(sink_->cut());
  EXPECT_EQ(next_.body(), "aaaaaaaaaa");
  EXPECT_TRUE(sink_->Prepare(1).empty());
}

TEST_F(DecodingSinkTest, ABombIsRefusedSoonAfterTheFreeBytes) {
  Make();
  Feed(Gzip(std::string(4 << 20, '\0')));
  ASSERT_NE(sink_->refusal(), nullptr);
  EXPECT_EQ(sink_->refusal()->code, FailureCode::kContentCodingLimit);
  EXPECT_EQ(sink_->refusal()->phase, Phase::kDecode);
  EXPECT_EQ(sink_->refusal()->processed, Processed::kYes);
  EXPECT_EQ(sink_->refusal()->detail, "gzip: more than 100 decoded bytes for each received one");
  EXPECT_LT(next_.body().size(), (1u << 20) + (512u << 10));
}

TEST_F(DecodingSinkTest, AMalformedBodyIsRefusedAndAShortOneFailsAtItsEnd) {
  Make();
  Feed("this is not gzip");
  ASSERT_NE(sink_->refusal(), nullptr);
  EXPECT_EQ(sink_->refusal()->code, FailureCode::kHttpResponseContentCoding);
  EXPECT_EQ(sink_->refusal()->detail, "gzip: incorrect header check");

  Make();
  const std::string coded = Gzip("text");
  Feed(std::string_view(coded).substr(0, coded.size() - 1));
  EXPECT_EQ(sink_->refusal(), nullptr);
  ASSERT_TRUE(sink_->CheckEnd().has_value());
  EXPECT_EQ(sink_->CheckEnd()->code, FailureCode::kHttpResponseContentCoding);
}

TEST_F(DecodingSinkTest, AnIncompressibleBodyAtTheLimitIsNotTooLong) {
  Make({.max_bytes = 1000});
  EXPECT_GE(sink_->BytesFor(1000), Deflate(std::string(1000, 'x'), 31).size() + 64);
  EXPECT_EQ(sink_->BytesFor(BodyLimit::kUnlimited), BodyLimit::kUnlimited);
}

TEST_F(DecodingSinkTest, ItsMemoryIsCountedWhileItLives) {
  Make();
  Feed(Gzip("text"));
  EXPECT_GT(held_.value(), static_cast<int64_t>(DecodingSink::kBufferBytes));
  sink_.reset();
  EXPECT_EQ(held_.value(), 0);
}

}  // namespace
}  // namespace fetchd::server
