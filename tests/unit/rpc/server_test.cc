#include "rpc/server.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "rpc/stream_bridge.h"
#include "server_fixture.h"

namespace fetchd::server {
namespace {

using grpc::health::v1::HealthCheckResponse;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Body(uint64_t size) {
  std::string body(size, '\0');
  for (uint64_t i = 0; i < size; ++i) body[i] = BodyByte(i);
  return body;
}

// Both ways of threading: fetches on the server's own thread, and on another.
class ServerTest : public ::testing::TestWithParam<bool> {
 protected:
  ServerFixture fixture_{{}, GetParam()};
};
INSTANTIATE_TEST_SUITE_P(, ServerTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "OwnerElsewhere" : "OwnerIsHome"; });

TEST_P(ServerTest, FetchReturnsTheResponse) {
  grpc::ClientContext context;
  context.AddMetadata("fetchd-caller", "unit-test.1");
  v1::FetchResponse response;
  const grpc::Status status = fixture_.stub().Fetch(&context, Request("/ok/100000"), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.response().status(), 200U);
  EXPECT_EQ(response.response().headers(0).name(), "x-origin");
  EXPECT_EQ(response.response().body(), Body(100000));
  EXPECT_EQ(response.attempts(), 1U);
  EXPECT_EQ(response.fetch_id().size(), 16U);
}

TEST_P(ServerTest, WhatTheOriginDoesIsAnOkReply) {
  v1::FetchResponse response;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(fixture_.stub().Fetch(&context, Request("/refused?key=1"), &response).ok());
  }
  {
    grpc::ClientContext context;
    ASSERT_TRUE(fixture_.stub().Fetch(&context, Request("/refused"), &response).ok());
  }
  EXPECT_EQ(response.error().code(), v1::CONNECTION_REFUSED);
  EXPECT_EQ(response.error().processed(), v1::PROCESSED_MAYBE);
  EXPECT_TRUE(response.error().retryable());
  EXPECT_EQ(response.error().url(), UrlOf("/refused"));
  EXPECT_FALSE(response.error().has_partial_response());
}

TEST_P(ServerTest, ABodyOverTheLimitAdvisesFetchStream) {
  grpc::ClientContext context;
  v1::FetchResponse response;
  ASSERT_TRUE(fixture_.stub().Fetch(&context, Request("/large"), &response).ok());
  EXPECT_EQ(response.error().code(), v1::HTTP_RESPONSE_BODY_SIZE);
  EXPECT_THAT(response.error().message(), HasSubstr("FetchStream"));
  EXPECT_EQ(response.error().partial_response().status(), 200U);
  EXPECT_EQ(response.error().partial_response().headers_size(), 1);
  EXPECT_TRUE(response.error().partial_response().body().empty());
}

TEST_P(ServerTest, ABugIsInternalAndNamesTheFetch) {
  grpc::ClientContext context;
  v1::FetchResponse response;
  const grpc::Status status = fixture_.stub().Fetch(&context, Request("/broken"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(FindDetail<google::rpc::ErrorInfo>(status)->metadata().at("fetch_id").size(), 16U);
}

TEST_P(ServerTest, BadRequestsAreRefusedBeforeTheNetwork) {
  const auto fetch = [this](const v1::FetchRequest& request, const char* caller = nullptr) {
    grpc::ClientContext context;
    if (caller != nullptr) context.AddMetadata("fetchd-caller", caller);
    v1::FetchResponse response;
    return fixture_.stub().Fetch(&context, request, &response);
  };
  grpc::Status status = fetch({});
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FirstField(status), "url");
  v1::FetchRequest forbidden;
  forbidden.set_url("http://10.0.0.1/");
  status = fetch(forbidden);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(ReasonOf(status), "URL_FORBIDDEN");
  status = fetch(Request("/ok/1"), "not a name");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FirstField(status), "metadata.fetchd-caller");
  status = fetch(Request("/ok/1"), std::string(65, 'x').c_str());
  EXPECT_EQ(FirstField(status), "metadata.fetchd-caller");
  EXPECT_EQ(fixture_.origin().started, 0);
}

TEST_P(ServerTest, WhatIsNoRequestIsRefusedAndNamed) {
  const std::string garbage("\xff\xff\xff");
  for (const char* method : {"Fetch", "FetchBatch"}) {
    SCOPED_TRACE(method);
    grpc::GenericStub stub(fixture_.channel());
    grpc::ClientContext context;
    grpc::CompletionQueue cq;
    const auto call = stub.PrepareUnaryCall(&context, std::string("/fetchd.v1.FetchService/") + method,
                                            grpc::ByteBuffer(std::vector{grpc::Slice(garbage)}.data(), 1), &cq);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(cq.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(FirstField(status), "message");
    EXPECT_EQ(ReasonOf(status), "INVALID_REQUEST");
  }
  // And the calls after it are served.
  grpc::ClientContext context;
  v1::FetchResponse response;
  EXPECT_TRUE(fixture_.stub().Fetch(&context, Request("/ok/1"), &response).ok());
  fixture_.AwaitIdle();
}

TEST_P(ServerTest, AnswersInBandBeforeTheRpcDeadline) {
  ServerFixture fixture({}, GetParam(), seconds(60) - milliseconds(40));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(60));
  v1::FetchResponse response;
  const grpc::Status status = fixture.stub().Fetch(&context, Request("/hang"), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.error().code(), v1::TOTAL_TIMEOUT);
}

TEST_P(ServerTest, ACancelledFetchIsAborted) {
  grpc::ClientContext context;
  std::thread canceller([&] {
    while (fixture_.origin().in_flight == 0) std::this_thread::yield();
    context.TryCancel();
  });
  v1::FetchResponse response;
  EXPECT_EQ(fixture_.stub().Fetch(&context, Request("/hang"), &response).error_code(), grpc::StatusCode::CANCELLED);
  canceller.join();
  fixture_.AwaitIdle();
  EXPECT_EQ(fixture_.origin().cancelled, 1);
}

TEST_P(ServerTest, FetchBatchHasExactlyOneResultForEachIndex) {
  v1::FetchBatchRequest request;
  for (int i = 0; i < 500; ++i) *request.add_requests() = Request(i % 7 == 3 ? "/refused" : "/ok/1000");
  request.mutable_requests(11)->set_url("nonsense");
  request.mutable_requests(12)->set_url("http://10.0.0.1/");
  request.set_max_concurrency(20);
  grpc::ClientContext context;
  auto reader = fixture_.stub().FetchBatch(&context, request);
  std::set<uint32_t> seen;
  v1::FetchBatchResponse message;
  while (reader->Read(&message)) {
    for (const v1::BatchResult& result : message.results()) {
      EXPECT_TRUE(seen.insert(result.index()).second);
      ASSERT_TRUE(result.has_fetch());
      if (result.index() == 11) {
        EXPECT_EQ(result.fetch().error().code(), v1::REQUEST_INVALID);
        EXPECT_THAT(result.fetch().error().message(), HasSubstr("requests[11].url"));
      } else if (result.index() == 12) {
        EXPECT_EQ(result.fetch().error().code(), v1::HTTP_REQUEST_DENIED);
      } else {
        EXPECT_EQ(result.fetch().has_error(), result.index() % 7 == 3);
      }
    }
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(seen.size(), 500U);
  EXPECT_LE(fixture_.origin().most_in_flight, 20);
}

TEST_P(ServerTest, FetchBatchAnswersAllBeforeTheRpcDeadline) {
  ServerFixture fixture({}, GetParam(), seconds(60) - milliseconds(40));
  v1::FetchBatchRequest request;
  for (int i = 0; i < 30; ++i) *request.add_requests() = Request("/hang");
  request.set_max_concurrency(5);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(60));
  auto reader = fixture.stub().FetchBatch(&context, request);
  v1::FetchBatchResponse message;
  int results = 0;
  while (reader->Read(&message)) {
    results += message.results_size();
    for (const v1::BatchResult& result : message.results()) EXPECT_EQ(result.fetch().error().code(), v1::TOTAL_TIMEOUT);
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(results, 30);
}

TEST_P(ServerTest, FetchBatchMessagesFitIntoTheClientsDefaultLimit) {
  v1::FetchBatchRequest request;
  for (int i = 0; i < 4; ++i) *request.add_requests() = Request("/ok/3500000");
  request.set_order(v1::FetchBatchRequest::ORDER_INPUT);
  grpc::ClientContext context;
  auto reader = fixture_.stub().FetchBatch(&context, request);
  v1::FetchBatchResponse message;
  uint32_t next = 0;
  while (reader->Read(&message))
    for (const v1::BatchResult& result : message.results()) {
      EXPECT_EQ(result.index(), next++);
      EXPECT_EQ(result.fetch().response().body().size(), 3'500'000U);
    }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(next, 4U);
}

TEST_P(ServerTest, ABrokenItemEndsTheBatchAsInternal) {
  v1::FetchBatchRequest request;
  for (int i = 0; i < 9; ++i) *request.add_requests() = Request(i == 4 ? "/broken" : "/hang");
  grpc::ClientContext context;
  auto reader = fixture_.stub().FetchBatch(&context, request);
  v1::FetchBatchResponse message;
  while (reader->Read(&message)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INTERNAL);
}

TEST_P(ServerTest, FetchStreamSendsHeadChunksAndTail) {
  grpc::ClientContext context;
  auto stream = fixture_.stub().FetchStream(&context);
  v1::FetchStreamRequest request;
  *request.mutable_start()->mutable_request() = Request("/ok/5000000");
  ASSERT_TRUE(stream->Write(request));
  v1::FetchStreamResponse message;
  ASSERT_TRUE(stream->Read(&message));
  EXPECT_EQ(message.head().status(), 200U);
  std::string body;
  std::optional<v1::StreamTail> tail;
  while (stream->Read(&message)) {
    EXPECT_FALSE(tail) << "the tail is last";
    if (message.has_tail()) {
      tail = message.tail();
      continue;
    }
    EXPECT_LE(message.chunk().size(), StreamBridge::kMaxChunk);
    EXPECT_FALSE(message.chunk().empty());
    body += message.chunk();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(body, Body(5000000));
  ASSERT_TRUE(tail);
  EXPECT_FALSE(tail->has_error());
  EXPECT_EQ(tail->body_bytes(), 5000000U);
  EXPECT_EQ(tail->attempts(), 1U);
  EXPECT_EQ(tail->fetch_id().size(), 16U);
}

TEST_P(ServerTest, FetchStreamWithoutResponseHasOnlyATail) {
  grpc::ClientContext context;
  auto stream = fixture_.stub().FetchStream(&context);
  v1::FetchStreamRequest request;
  *request.mutable_start()->mutable_request() = Request("/refused");
  stream->WriteLast(request, {});
  v1::FetchStreamResponse message;
  ASSERT_TRUE(stream->Read(&message));
  EXPECT_EQ(message.tail().error().code(), v1::CONNECTION_REFUSED);
  EXPECT_EQ(message.tail().error().url(), UrlOf("/refused"));
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_P(ServerTest, FetchStreamCarriesBodiesBothWays) {
  grpc::ClientContext context;
  auto stream = fixture_.stub().FetchStream(&context);
  const std::string sent = Body(3'000'000);
  std::thread writer([&] {
    v1::FetchStreamRequest request;
    *request.mutable_start()->mutable_request() = Request("/echo");
    request.mutable_start()->set_streams_body(true);
    stream->Write(request);
    for (size_t at = 0; at < sent.size(); at += 70'001) {
      request.set_chunk(sent.substr(at, 70'001));
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
  });
  v1::FetchStreamResponse message;
  std::string body;
  while (stream->Read(&message)) {
    if (message.has_chunk()) body += message.chunk();
    EXPECT_FALSE(message.has_tail() && message.tail().has_error());
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(body, sent);
}

TEST_P(ServerTest, ASlowCallerStopsTheReadFromTheOrigin) {
  grpc::ClientContext context;
  auto stream = fixture_.stub().FetchStream(&context);
  v1::FetchStreamRequest request;
  *request.mutable_start()->mutable_request() = Request("/ok/200000000");
  ASSERT_TRUE(stream->Write(request));
  v1::FetchStreamResponse message;
  ASSERT_TRUE(stream->Read(&message));
  // Beyond two blocks there is what gRPC and the kernel hold.
  while (fixture_.origin().starved == 0) std::this_thread::yield();
  EXPECT_LT(fixture_.origin().sent, 12'000'000U);
  EXPECT_LE(fixture_.buffered(), 2 * static_cast<int64_t>(BlockSize::kMost));
  context.TryCancel();
  while (stream->Read(&message)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  fixture_.AwaitIdle();
}

TEST_P(ServerTest, AnUploadThatIsBrokenOffIsNeverTakenForWhole) {
  for (int i = 0; i < 30; ++i) {
    grpc::ClientContext context;
    auto stream = fixture_.stub().FetchStream(&context);
    v1::FetchStreamRequest request;
    *request.mutable_start()->mutable_request() = Request("/sum");
    request.mutable_start()->set_streams_body(true);
    stream->Write(request);
    request.set_chunk("some of it");
    stream->Write(request);
    context.TryCancel();
    v1::FetchStreamResponse message;
    while (stream->Read(&message)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  fixture_.AwaitIdle();
  EXPECT_EQ(fixture_.origin().whole_uploads, 0);
}

struct BadStream {
  const char* name;
  std::vector<v1::FetchStreamRequest> messages;
  const char* field;
};

TEST_P(ServerTest, MisusedStreamsAreInvalid) {
  v1::FetchStreamRequest start, streaming, chunk, bad_start;
  *start.mutable_start()->mutable_request() = Request("/hang");
  streaming = start;
  streaming.mutable_start()->set_streams_body(true);
  chunk.set_chunk("x");
  bad_start.mutable_start();
  const BadStream rows[] = {
      {"nothing", {}, "start"},
      {"a chunk first", {chunk}, "start"},
      {"an empty message", {{}}, "message"},
      {"start without request", {bad_start}, "start.request.url"},
      {"start twice", {streaming, streaming}, "start"},
      {"a chunk without streams_body", {start, chunk}, "chunk"},
      {"an empty message later", {streaming, {}}, "message"},
  };
  for (const BadStream& row : rows) {
    SCOPED_TRACE(row.name);
    grpc::ClientContext context;
    auto stream = fixture_.stub().FetchStream(&context);
    for (const auto& message : row.messages) stream->Write(message);
    stream->WritesDone();
    v1::FetchStreamResponse message;
    while (stream->Read(&message)) {
    }
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(FirstField(status), row.field);
  }
  fixture_.AwaitIdle();
}

TEST_P(ServerTest, FetchPagedStreamsPagesToTheEnd) {
  v1::FetchPagedRequest request;
  *request.mutable_request() = Request("/ok/10");
  request.mutable_link_header();
  grpc::ClientContext context;
  auto reader = fixture_.stub().FetchPaged(&context, request);
  v1::FetchPagedResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.page().response().body(), Body(10));
  EXPECT_EQ(message.page().number(), 1U);
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.end().reason(), v1::PagedEnd::REASON_LAST_PAGE);
  EXPECT_EQ(message.end().pages(), 1U);
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_P(ServerTest, FetchPagedRefusesAndReportsErrors) {
  {
    grpc::ClientContext context;
    auto reader = fixture_.stub().FetchPaged(&context, {});
    v1::FetchPagedResponse message;
    EXPECT_FALSE(reader->Read(&message));
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  v1::FetchPagedRequest request;
  *request.mutable_request() = Request("/refused");
  request.mutable_link_header();
  grpc::ClientContext context;
  auto reader = fixture_.stub().FetchPaged(&context, request);
  v1::FetchPagedResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.end().reason(), v1::PagedEnd::REASON_ERROR);
  EXPECT_EQ(message.end().error().code(), v1::CONNECTION_REFUSED);
  EXPECT_FALSE(message.resume_token().empty());
  EXPECT_TRUE(reader->Finish().ok());
}

// Each RPC once, cancelled by the caller after a random number of microseconds.
void CallAndCancel(ServerFixture& fixture, int kind, int after_us, std::atomic<int>& answered) {
  grpc::ClientContext context;
  std::thread canceller([&context, after_us] {
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(after_us);
    while (std::chrono::steady_clock::now() < until) std::this_thread::yield();
    context.TryCancel();
  });
  grpc::Status status;
  if (kind == 0) {
    v1::FetchResponse response;
    status = fixture.stub().Fetch(&context, Request("/ok/20000"), &response);
  } else if (kind == 1) {
    v1::FetchBatchRequest request;
    for (int i = 0; i < 50; ++i) *request.add_requests() = Request(i % 2 == 0 ? "/ok/5000" : "/hang");
    auto reader = fixture.stub().FetchBatch(&context, request);
    v1::FetchBatchResponse message;
    while (reader->Read(&message)) {
    }
    status = reader->Finish();
  } else if (kind == 2) {
    auto stream = fixture.stub().FetchStream(&context);
    v1::FetchStreamRequest request;
    *request.mutable_start()->mutable_request() = Request(after_us % 2 == 0 ? "/echo" : "/half/300000");
    request.mutable_start()->set_streams_body(true);
    stream->Write(request);
    request.set_chunk(std::string(50'000, 'x'));
    stream->Write(request);
    stream->WritesDone();
    v1::FetchStreamResponse message;
    while (stream->Read(&message)) {
    }
    status = stream->Finish();
  } else {
    v1::FetchPagedRequest request;
    *request.mutable_request() = Request("/ok/50000");
    request.mutable_link_header();
    auto reader = fixture.stub().FetchPaged(&context, request);
    v1::FetchPagedResponse message;
    while (reader->Read(&message)) {
    }
    status = reader->Finish();
  }
  canceller.join();
  EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::CANCELLED) << status.error_message();
  if (status.ok()) ++answered;
}

TEST_P(ServerTest, CancelsAtRandomMomentsLeaveNothingBehind) {
  std::atomic<int> answered = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([this, c, &answered] {
      std::minstd_rand random(static_cast<uint32_t>(c + 1));
      for (int i = 0; i < 60; ++i) CallAndCancel(fixture_, c, static_cast<int>(random() % 3000), answered);
    });
  }
  for (std::thread& caller : callers) caller.join();
  fixture_.AwaitIdle();
  // And it still works.
  grpc::ClientContext context;
  v1::FetchResponse response;
  EXPECT_TRUE(fixture_.stub().Fetch(&context, Request("/ok/1"), &response).ok());
}

TEST_P(ServerTest, EndsUnderLoadWithEveryAdmittedCallAnswered) {
  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([this, &stop, &answered] {
      while (!stop) {
        grpc::ClientContext context;
        v1::FetchResponse response;
        const grpc::Status status = fixture_.stub().Fetch(&context, Request("/ok/2000"), &response);
        if (status.ok()) ++answered;
      }
    });
  }
  while (fixture_.origin().started < 100) std::this_thread::yield();
  fixture_.server().Drain(SystemClock().Now() + seconds(10));
  EXPECT_EQ(fixture_.server().admission().in_flight(), 0);
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answered, fixture_.origin().started);
}

TEST_P(ServerTest, DrainCancelsWhatIsLeftAtTheDeadline) {
  auto call = std::async(std::launch::async, [this] {
    grpc::ClientContext context;
    v1::FetchResponse response;
    return fixture_.stub().Fetch(&context, Request("/hang"), &response).error_code();
  });
  while (fixture_.origin().in_flight == 0) std::this_thread::yield();
  fixture_.server().Drain(SystemClock().Now() + milliseconds(20));
  EXPECT_THAT(call.get(), ::testing::AnyOf(grpc::StatusCode::CANCELLED, grpc::StatusCode::UNAVAILABLE));
  EXPECT_EQ(fixture_.origin().cancelled, 1);
}

TEST_P(ServerTest, DrainingEndsListsWithATokenAndRefusesNewCalls) {
  // Holds the drain open.
  grpc::ClientContext held_context;
  auto held = fixture_.stub().FetchStream(&held_context);
  v1::FetchStreamRequest start;
  *start.mutable_start()->mutable_request() = Request("/half/5");
  held->Write(start);
  v1::FetchPagedRequest request;
  *request.mutable_request() = Request("/hang");
  request.mutable_link_header();
  grpc::ClientContext paged_context;
  auto reader = fixture_.stub().FetchPaged(&paged_context, request);
  while (fixture_.origin().in_flight < 2) std::this_thread::yield();
  auto watch_stub = grpc::health::v1::Health::NewStub(fixture_.channel());
  grpc::ClientContext watch_context;
  auto watch = watch_stub->Watch(&watch_context, {});
  HealthCheckResponse health;
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);

  auto drain = std::async(std::launch::async, [this] { fixture_.server().Drain(SystemClock().Now() + seconds(10)); });
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  v1::FetchPagedResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.end().reason(), v1::PagedEnd::REASON_DRAINING);
  EXPECT_TRUE(reader->Finish().ok());
  grpc::ClientContext context;
  v1::FetchResponse response;
  const grpc::Status refused = fixture_.stub().Fetch(&context, Request("/ok/1"), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(refused), "DRAINING");
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(refused));
  EXPECT_FALSE(watch->Read(&health));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  // What was admitted before goes on.
  v1::FetchStreamResponse held_message;
  EXPECT_TRUE(held->Read(&held_message));
  held_context.TryCancel();
  EXPECT_EQ(held->Finish().error_code(), grpc::StatusCode::CANCELLED);
  drain.get();
}

TEST(ServerAdmissionTest, OverloadIsUnavailableWithRetryInfo) {
  RpcServerOptions options;
  options.admission.max_in_flight = 1;
  ServerFixture fixture(options);
  grpc::ClientContext held_context;
  auto held = fixture.stub().FetchStream(&held_context);
  v1::FetchStreamRequest start;
  *start.mutable_start()->mutable_request() = Request("/hang");
  held->Write(start);
  while (fixture.origin().in_flight == 0) std::this_thread::yield();
  grpc::ClientContext context;
  v1::FetchResponse response;
  const grpc::Status status = fixture.stub().Fetch(&context, Request("/ok/1"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "OVERLOADED");
  EXPECT_TRUE(FindDetail<google::rpc::RetryInfo>(status));
  held_context.TryCancel();
  held->Finish();
}

TEST(HealthTest, KnowsTheServerAndItsServices) {
  ServerFixture fixture;
  auto stub = grpc::health::v1::Health::NewStub(fixture.channel());
  const auto check = [&stub](const char* service, HealthCheckResponse& response) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    return stub->Check(&context, request, &response);
  };
  for (const char* service : {"", "fetchd.v1.FetchService"}) {
    HealthCheckResponse response;
    EXPECT_TRUE(check(service, response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  HealthCheckResponse response;
  EXPECT_EQ(check("other", response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(ReflectionTest, ListsServicesAndTheirFiles) {
  using grpc::reflection::v1alpha::ServerReflectionRequest;
  using grpc::reflection::v1alpha::ServerReflectionResponse;
  ServerFixture fixture;
  auto stub = grpc::reflection::v1alpha::ServerReflection::NewStub(fixture.channel());
  grpc::ClientContext context;
  auto stream = stub->ServerReflectionInfo(&context);
  ServerReflectionRequest request;
  ServerReflectionResponse response;
  request.set_list_services("*");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.list_services_response().service_size(), 3);
  EXPECT_EQ(response.list_services_response().service(0).name(), "fetchd.v1.FetchService");
  request.set_file_containing_symbol("fetchd.v1.FetchService.Fetch");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  // The service's file, the messages' file, Duration and Timestamp.
  EXPECT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 4);
  request.set_file_by_filename("no/such.proto");
  stream->Write(request);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), grpc::StatusCode::NOT_FOUND);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(ServerStartTest, AnAddressThatIsTakenIsNamed) {
  ServerFixture first;
  asio::io_context home(1);
  FakeOrigin origin(home);
  ResumeTokens tokens{ResumeTokenOptions{}};
  SharedCell buffered;
  RpcServerOptions options;
  options.listen = {"127.0.0.1:" + std::to_string(first.server().ports()[0])};
  const auto second = RpcServer::Start(
      options, origin, tokens, home, [] {}, buffered);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(options.listen[0]));
}

}  // namespace
}  // namespace fetchd::server
