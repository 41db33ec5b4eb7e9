#include "rpc/fetch_reply.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rpc/batch_outbox.h"

namespace fetchd::server {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;

// What the engine collected, and the message that it must become.
struct Shape {
  std::string name;
  Collected collected;
  v1::FetchResponse message;
};

constexpr char kFetchId[] = "0123456789abcdef";

void AddHeader(Shape& shape, const std::string& name, const std::string& value) {
  shape.collected.head->headers.Add(name, value);
  v1::Header* header = shape.message.mutable_response()->add_headers();
  header->set_name(name);
  header->set_value(value);
}

void AddTrailer(Shape& shape, const std::string& name, const std::string& value) {
  shape.collected.outcome.trailers.Add(name, value);
  v1::Header* header = shape.message.mutable_response()->add_trailers();
  header->set_name(name);
  header->set_value(value);
}

void AddTrace(Shape& shape) {
  shape.collected.outcome.trace = std::make_unique<Trace>(Instant{});
  for (int i = 1; i <= 10; ++i) {
    shape.collected.outcome.trace->Decide(Instant{}, i, "retry", "retry", "a detail");
    v1::Decision& decision = *shape.message.mutable_trace()->add_decisions();
    decision.mutable_at();
    decision.set_attempt(static_cast<uint32_t>(i));
    decision.set_rule("retry");
    decision.set_verdict("retry");
    decision.set_detail("a detail");
  }
}

Shape Response(std::string name, int status, std::string body) {
  Shape shape;
  shape.name = std::move(name);
  shape.collected.head.emplace();
  shape.collected.head->status = status;
  shape.collected.outcome.attempts = 1;
  shape.message.set_fetch_id(kFetchId);
  shape.message.set_attempts(1);
  shape.message.mutable_response()->set_status(static_cast<uint32_t>(status));
  shape.message.mutable_response()->set_body(body);
  shape.collected.body = std::move(body);
  return shape;
}

Shape Failed(std::string name) {
  Shape shape;
  shape.name = std::move(name);
  shape.collected.redacted_url = "http://h/p?q=*";
  shape.collected.outcome.attempts = 3;
  shape.collected.outcome.failure =
      Failure{FailureCode::kHttpResponseIncomplete, Phase::kReceive, Processed::kYes, "the connection ended"};
  shape.message.set_fetch_id(kFetchId);
  shape.message.set_attempts(3);
  v1::FetchError& error = *shape.message.mutable_error();
  error.set_code(v1::HTTP_RESPONSE_INCOMPLETE);
  error.set_message("the connection ended");
  error.set_phase(v1::PHASE_RECEIVE);
  error.set_processed(v1::PROCESSED_YES);
  error.set_retryable(true);
  error.set_url("http://h/p?q=*");
  return shape;
}

std::vector<Shape> AllShapes() {
  std::vector<Shape> shapes;
  shapes.push_back(Response("an empty body and no header", 204, ""));
  shapes.push_back(Response("a small body", 200, "hello"));
  shapes.push_back(Response("bytes that are no text", 599, std::string("\0\xff\x80\n", 4)));
  // Around where the sizes take another byte, and where a body gets a slice of its own.
  for (const size_t size : {100U, 127U, 128U, 129U, 16'300U, 16'383U, 16'384U, 16'385U, 100'000U, 3'500'000U})
    shapes.push_back(Response("a body of " + std::to_string(size), 200, std::string(size, 'b')));
  {
    Shape& shape = shapes.emplace_back(Response("headers", 404, "not here"));
    AddHeader(shape, "content-type", "text/html; charset=utf-8");
    AddHeader(shape, "set-cookie", "a=1");
    AddHeader(shape, "set-cookie", "b=2");
    AddHeader(shape, "x-empty", "");
    AddHeader(shape, "x-bytes", "\xe9\xff");
    AddHeader(shape, "x-long", std::string(5000, 'l'));
  }
  {
    Shape& shape = shapes.emplace_back(Response("a decoded body", 200, "decoded"));
    shape.collected.head->decoded = {.codings = {ContentCoding::kDeflate, ContentCoding::kBrotli}, .size = 2};
    shape.message.mutable_response()->add_decoded("deflate");
    shape.message.mutable_response()->add_decoded("br");
  }
  {
    Shape& shape = shapes.emplace_back(Response("many headers", 200, ""));
    for (int i = 0; i < 300; ++i) AddHeader(shape, "x-" + std::to_string(i), std::string(static_cast<size_t>(i), 'v'));
  }
  for (const size_t size : {0U, 10U, 50'000U}) {
    Shape& shape =
        shapes.emplace_back(Response("trailers and all, body " + std::to_string(size), 500, std::string(size, 'b')));
    AddHeader(shape, "trailer", "x-sum");
    AddTrailer(shape, "x-sum", "1234");
    AddTrailer(shape, "x-empty", "");
    shape.collected.outcome.truncated = true;
    shape.message.mutable_response()->set_truncated(true);
    shape.collected.outcome.attempts = 10;
    shape.message.set_attempts(10);
  }
  {
    Shape& shape = shapes.emplace_back(Response("no attempt counted", 200, "x"));
    shape.collected.outcome.attempts = 0;
    shape.message.set_attempts(0);
  }
  for (const size_t size : {0U, 10U, 50'000U}) {
    Shape& shape = shapes.emplace_back(Response("a trace, body " + std::to_string(size), 200, std::string(size, 'b')));
    AddTrace(shape);
  }
  AddTrace(shapes.emplace_back(Failed("a failure with a trace")));
  shapes.push_back(Failed("a failure"));
  for (const size_t size : {0U, 100'000U}) {
    Shape& shape = shapes.emplace_back(Failed("a failure with part of a response, body " + std::to_string(size)));
    shape.collected.head.emplace();
    shape.collected.head->status = 200;
    shape.collected.head->headers.Add("x-a", "b");
    shape.collected.body = std::string(size, 'p');
    v1::HttpResponse& partial = *shape.message.mutable_error()->mutable_partial_response();
    partial.set_status(200);
    partial.add_headers()->set_name("x-a");
    partial.mutable_headers(0)->set_value("b");
    partial.set_body(shape.collected.body);
  }
  {
    Shape& shape = shapes.emplace_back(Failed("a failure with Retry-After"));
    shape.collected.outcome.retry_at = WallTime(std::chrono::seconds(1'700'000'000) + std::chrono::milliseconds(5));
    shape.message.mutable_error()->mutable_retry_at()->set_seconds(1'700'000'000);
    shape.message.mutable_error()->mutable_retry_at()->set_nanos(5'000'000);
  }
  {
    Shape& shape = shapes.emplace_back(Failed("a body that was too large is not reported in part"));
    shape.collected.outcome.failure->code = FailureCode::kHttpResponseBodySize;
    shape.collected.head.emplace();
    shape.collected.head->status = 200;
    shape.collected.body = "some of it";
    v1::FetchError& error = *shape.message.mutable_error();
    error.set_code(v1::HTTP_RESPONSE_BODY_SIZE);
    error.set_message("the connection ended; FetchStream takes bodies of any size");
    error.set_retryable(false);
    error.mutable_partial_response()->set_status(200);
  }
  return shapes;
}

std::vector<grpc::Slice> Slices(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(bytes.Dump(&slices).ok());
  return slices;
}

TEST(FetchReplyTest, BecomesTheMessage) {
  for (Shape& shape : AllShapes()) {
    SCOPED_TRACE(shape.name);
    FetchReply reply(kFetchId, shape.collected);
    MessageWriter writer;
    reply.Write(writer);
    EXPECT_EQ(writer.size(), reply.size());
    grpc::ByteBuffer bytes = writer.Take();
    EXPECT_EQ(bytes.Length(), reply.size());
    v1::FetchResponse parsed;
    ASSERT_TRUE(ParseMessage(bytes, parsed));
    EXPECT_TRUE(MessageDifferencer::Equals(parsed, shape.message)) << parsed.ShortDebugString().substr(0, 2000);
    EXPECT_EQ(parsed.ByteSizeLong(), reply.size()) << "nothing superfluous is sent";
    EXPECT_FALSE(bytes.Valid()) << "the bytes are given back";
  }
}

TEST(FetchReplyTest, CopiesSmallBodiesAndHandsOnLargeOnes) {
  Shape small = Response("", 200, std::string(1000, 's'));
  MessageWriter one;
  FetchReply(kFetchId, small.collected).Write(one);
  EXPECT_EQ(Slices(one.Take()).size(), 1U);

  Shape large = Response("", 200, std::string(100'000, 'l'));
  const char* const body = large.collected.body.data();
  grpc::ByteBuffer bytes;
  {
    MessageWriter two;
    FetchReply(kFetchId, large.collected).Write(two);
    bytes = two.Take();
  }
  large.collected = {};
  const std::vector<grpc::Slice> slices = Slices(bytes);
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(reinterpret_cast<const char*>(slices[1].begin()), body);
  EXPECT_EQ(std::string(slices[1].begin(), slices[1].end()), std::string(100'000, 'l'));
}

std::vector<v1::FetchBatchResponse> TakeAll(BatchOutbox& outbox) {
  std::vector<v1::FetchBatchResponse> messages;
  while (std::optional<grpc::ByteBuffer> bytes = outbox.Take()) {
    EXPECT_TRUE(ParseMessage(*bytes, messages.emplace_back()));
  }
  return messages;
}

std::vector<uint32_t> Indexes(const v1::FetchBatchResponse& message) {
  std::vector<uint32_t> indexes;
  for (const v1::BatchResult& result : message.results()) indexes.push_back(result.index());
  return indexes;
}

TEST(BatchOutboxTest, MixedResultsBecomeTheMessageInEitherOrder) {
  for (const bool input_order : {false, true}) {
    SCOPED_TRACE(input_order);
    BatchOutbox outbox(input_order, 64 << 20);
    v1::FetchBatchResponse expected;
    std::vector<Shape> shapes = AllShapes();
    // The first is last to come, so that in input order all wait for it.
    const auto add = [&](size_t i) {
      const size_t index = i == 0 ? 0 : i + 9'000;
      outbox.Add(input_order ? i : index, kFetchId, &shapes[i].collected);
    };
    const auto expect = [&](size_t i) {
      const size_t index = i == 0 || input_order ? i : i + 9'000;
      v1::BatchResult* result = expected.add_results();
      result->set_index(static_cast<uint32_t>(index));
      *result->mutable_fetch() = shapes[i].message;
    };
    for (size_t i = shapes.size() - 1; i > 0; --i) add(i);
    EXPECT_FALSE(input_order && outbox.Take()) << "the first is not there";
    add(0);
    outbox.Add(shapes.size(), {}, nullptr);
    if (input_order) {
      for (size_t i = 0; i < shapes.size(); ++i) expect(i);
    } else {
      for (size_t i = shapes.size() - 1; i > 0; --i) expect(i);
      expect(0);
    }
    v1::BatchResult* skipped = expected.add_results();
    skipped->set_index(static_cast<uint32_t>(shapes.size()));
    skipped->mutable_skipped()->set_reason("another item of the batch failed first");

    EXPECT_EQ(outbox.bytes(), expected.ByteSizeLong());
    const std::vector<v1::FetchBatchResponse> messages = TakeAll(outbox);
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_TRUE(MessageDifferencer::Equals(messages[0], expected));
    EXPECT_EQ(outbox.bytes(), 0U);
  }
}

TEST(BatchOutboxTest, MessagesStayWithinTheirSizeUnlessOneResultAloneDoesNot) {
  BatchOutbox outbox(false, 10'000);
  size_t index = 0;
  for (const size_t size : {4'000U, 4'000U, 4'000U, 50'000U, 10U, 20U}) {
    Shape shape = Response("", 200, std::string(size, 'b'));
    outbox.Add(index++, kFetchId, &shape.collected);
  }
  EXPECT_GT(outbox.bytes(), 62'000U);
  const std::vector<v1::FetchBatchResponse> messages = TakeAll(outbox);
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_THAT(Indexes(messages[0]), ElementsAre(0, 1));
  EXPECT_THAT(Indexes(messages[1]), ElementsAre(2));
  EXPECT_THAT(Indexes(messages[2]), ElementsAre(3));
  EXPECT_THAT(Indexes(messages[3]), ElementsAre(4, 5));
  EXPECT_EQ(outbox.bytes(), 0U);
}

TEST(BatchOutboxTest, ResultsThatWaitForTheirTurnCount) {
  BatchOutbox outbox(true);
  Shape shape = Response("", 200, std::string(1'000, 'b'));
  outbox.Add(1, kFetchId, &shape.collected);
  EXPECT_GT(outbox.bytes(), 1'000U);
  EXPECT_FALSE(outbox.Take());
  outbox.Add(0, {}, nullptr);
  outbox.Add(3, {}, nullptr);
  const std::vector<v1::FetchBatchResponse> messages = TakeAll(outbox);
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_THAT(Indexes(messages[0]), ElementsAre(0, 1));
  EXPECT_GT(outbox.bytes(), 0U);
  outbox.Add(2, {}, nullptr);
  EXPECT_THAT(Indexes(TakeAll(outbox).at(0)), ElementsAre(2, 3));
  EXPECT_EQ(outbox.bytes(), 0U);
}

TEST(ParseMessageTest, TakesBytesInAnySlices) {
  v1::FetchRequest request;
  request.set_url("http://origin.test/" + std::string(300, 'p'));
  request.add_headers()->set_name("x-a");
  request.set_body(std::string(2'000, 'b'));
  const std::string wire = request.SerializeAsString();
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{500}, wire.size()}) {
    std::vector<grpc::Slice> slices;
    for (size_t at = 0; at < wire.size(); at += piece) slices.emplace_back(wire.substr(at, piece));
    grpc::ByteBuffer bytes(slices.data(), slices.size());
    v1::FetchRequest parsed;
    EXPECT_TRUE(ParseMessage(bytes, parsed));
    EXPECT_TRUE(MessageDifferencer::Equals(parsed, request));
  }
}

TEST(ParseMessageTest, RefusesWhatIsNoMessage) {
  v1::FetchRequest request;
  request.set_url("http://origin.test/");
  std::string cut = request.SerializeAsString();
  cut.pop_back();
  for (const std::string& wire : {std::string("\xff\xff\xff"), cut}) {
    const grpc::Slice slice(wire);
    grpc::ByteBuffer bytes(&slice, 1);
    v1::FetchRequest parsed;
    EXPECT_FALSE(ParseMessage(bytes, parsed));
  }
  grpc::ByteBuffer nothing;
  EXPECT_FALSE(ParseMessage(nothing, request));
  // An empty message is one.
  const grpc::Slice empty;
  grpc::ByteBuffer bytes(&empty, 1);
  EXPECT_TRUE(ParseMessage(bytes, request));
}

TEST(SerialiseMessageTest, IsReadBack) {
  for (const size_t size : {size_t{0}, size_t{5}, size_t{100'000}}) {
    v1::FetchRequest request;
    request.set_body(std::string(size, 'b'));
    grpc::ByteBuffer bytes = SerialiseMessage(request);
    ASSERT_TRUE(bytes.Valid());
    v1::FetchRequest parsed;
    EXPECT_TRUE(ParseMessage(bytes, parsed));
    EXPECT_TRUE(MessageDifferencer::Equals(parsed, request));
  }
}

}  // namespace
}  // namespace fetchd::server
