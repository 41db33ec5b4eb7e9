#include "fetchd/body_stream.h"

#include <memory>
#include <string>
#include <utility>

#include "fetchd/mocks/mock_connection.h"
#include "gtest/gtest.h"

namespace fetchd {
namespace {

using mocks::ScriptedStreamCall;
using mocks::StreamMessages;
using mocks::StreamRecord;

class BodyStreamTest : public testing::Test {
 protected:
  std::shared_ptr<StreamCall> Call(std::vector<v1::FetchStreamResponse> messages,
                                   absl::Status status = absl::OkStatus()) {
    return std::make_shared<ScriptedStreamCall>(std::move(messages), std::move(status), record_);
  }

  std::shared_ptr<StreamRecord> record_ = std::make_shared<StreamRecord>();
};

TEST_F(BodyStreamTest, ReadsHeadPiecesAndTail) {
  BodyReader reader(Call(StreamMessages(206, {"ab", "", "c"})));
  ASSERT_NE(reader.head(), nullptr);
  EXPECT_EQ(reader.head()->status(), 206u);
  EXPECT_EQ(reader.tail(), nullptr);
  EXPECT_EQ(**reader.Read(), "ab");
  EXPECT_EQ(**reader.Read(), "c");
  EXPECT_FALSE(reader.complete());
  EXPECT_EQ(*reader.Read(), std::nullopt);
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.tail()->body_bytes(), 3u);
  EXPECT_EQ(*reader.Read(), std::nullopt);
}

TEST_F(BodyStreamTest, IsARangeOfPiecesWithoutAskingForTheHead) {
  BodyReader reader(Call(StreamMessages(200, {"ab", "c"})));
  std::string body;
  for (const absl::StatusOr<std::string>& piece : reader) body += *piece;
  EXPECT_EQ(body, "abc");
  EXPECT_TRUE(reader.complete());
}

TEST_F(BodyStreamTest, WorksAfterBeingMoved) {
  BodyReader first(Call(StreamMessages(200, {"ab"})));
  BodyReader reader = std::move(first);
  EXPECT_EQ(**reader.Read(), "ab");
}

TEST_F(BodyStreamTest, OnlyATailMeansThatNoResponseBegan) {
  v1::FetchStreamResponse tail;
  tail.mutable_tail()->mutable_error()->set_code(v1::DNS_ERROR);
  BodyReader reader(Call({tail}));
  EXPECT_EQ(reader.head(), nullptr);
  ASSERT_NE(reader.tail(), nullptr);
  EXPECT_EQ(reader.tail()->error().code(), v1::DNS_ERROR);
  EXPECT_EQ(*reader.Read(), std::nullopt);
  EXPECT_TRUE(reader.status().ok());
  EXPECT_FALSE(reader.complete());
}

TEST_F(BodyStreamTest, BrokenBodyIsNotComplete) {
  std::vector<v1::FetchStreamResponse> messages = StreamMessages(200, {"ab"});
  messages.back().mutable_tail()->mutable_error()->set_code(v1::HTTP_RESPONSE_INCOMPLETE);
  BodyReader reader(Call(std::move(messages)));
  EXPECT_EQ(**reader.Read(), "ab");
  EXPECT_EQ(*reader.Read(), std::nullopt);
  EXPECT_FALSE(reader.complete());
}

TEST_F(BodyStreamTest, StatusOfAFailedRpcStays) {
  BodyReader reader(Call({}, absl::UnavailableError("draining")));
  EXPECT_EQ(reader.head(), nullptr);
  EXPECT_EQ(reader.tail(), nullptr);
  EXPECT_EQ(reader.status(), absl::UnavailableError("draining"));
  EXPECT_EQ(reader.Read().status(), absl::UnavailableError("draining"));
  EXPECT_EQ(reader.Read().status(), absl::UnavailableError("draining"));
}

TEST_F(BodyStreamTest, MissingTailAndPiecesBeforeTheHeadAreFaults) {
  std::vector<v1::FetchStreamResponse> messages = StreamMessages(200, {"ab"});
  messages.pop_back();
  BodyReader without_tail(Call(messages));
  EXPECT_TRUE(without_tail.Read().ok());
  EXPECT_EQ(without_tail.Read().status().code(), absl::StatusCode::kInternal);

  messages.erase(messages.begin());
  BodyReader without_head(Call(messages));
  EXPECT_EQ(without_head.Read().status().code(), absl::StatusCode::kInternal);
}

TEST_F(BodyStreamTest, DestroyingAReaderEarlyCancels) {
  { BodyReader reader(Call(StreamMessages(200, {"ab"}))); }
  EXPECT_TRUE(record_->cancelled);
}

TEST_F(BodyStreamTest, DestroyingAReaderAtTheEndDoesNot) {
  {
    BodyReader reader(Call(StreamMessages(200, {})));
    EXPECT_EQ(*reader.Read(), std::nullopt);
  }
  EXPECT_FALSE(record_->cancelled);
}

TEST_F(BodyStreamTest, WriterSendsLargePiecesInSeveralMessages) {
  const std::string piece(1'000'000, 'x');
  BodyWriter writer(Call({}));
  EXPECT_TRUE(writer.Write(piece));
  EXPECT_TRUE(writer.Write("yz"));
  EXPECT_TRUE(writer.Close());
  EXPECT_EQ(record_->body, piece + "yz");
  EXPECT_TRUE(record_->closed);
  EXPECT_FALSE(writer.Write("more"));
}

TEST_F(BodyStreamTest, WriterDestroyedUnclosedCancels) {
  {
    BodyWriter writer(Call({}));
    BodyWriter moved = std::move(writer);
    EXPECT_TRUE(moved.Write("half"));
  }
  EXPECT_TRUE(record_->cancelled);
  EXPECT_FALSE(record_->closed);
}

}  // namespace
}  // namespace fetchd
