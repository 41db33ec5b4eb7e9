#include "rpc/trace_writer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server_fixture.h"

namespace fetchd::server {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

Duration ToDuration(const google::protobuf::Duration& duration) {
  return seconds(duration.seconds()) + std::chrono::nanoseconds(duration.nanos());
}

TEST(WriteDurationTest, BothPartsHaveTheSignOfTheWhole) {
  google::protobuf::Duration out;
  WriteDuration(milliseconds(1'500), out);
  EXPECT_EQ(out.seconds(), 1);
  EXPECT_EQ(out.nanos(), 500'000'000);
  WriteDuration(-milliseconds(1'500), out);
  EXPECT_EQ(out.seconds(), -1);
  EXPECT_EQ(out.nanos(), -500'000'000);
}

TEST(ExplainTest, NumbersAreThoseOfTheProto) {
  EXPECT_EQ(static_cast<int>(Explain::kNone), static_cast<int>(v1::EXPLAIN_NONE));
  EXPECT_EQ(static_cast<int>(Explain::kSummary), static_cast<int>(v1::EXPLAIN_SUMMARY));
  EXPECT_EQ(static_cast<int>(Explain::kFull), static_cast<int>(v1::EXPLAIN_FULL));
  EXPECT_EQ(v1::Explain_MAX, v1::EXPLAIN_FULL);
}

Trace MakeTrace(Explain explain) {
  Trace trace(Instant(seconds(100)), explain);
  AttemptTrace& first = trace.attempts.emplace_back();
  first.number = 1;
  first.took = milliseconds(12);
  first.peer = Endpoint{.address = IpAddress::V4({192, 0, 2, 7}), .port = 443};
  first.reused_connection = true;
  first.phases.queue = microseconds(3);
  first.phases.wait = milliseconds(11);
  first.failure = FailureCode::kHttpResponseTimeout;
  first.failure_phase = Phase::kWait;
  first.processed = Processed::kMaybe;
  first.detail = "no answer in time";
  AttemptTrace& second = trace.attempts.emplace_back();
  second.number = 2;
  second.hedge = true;
  second.began = milliseconds(50);
  second.status = 503;
  trace.Decide(Instant(seconds(100) + milliseconds(12)), 1, "retry", "retry", "after 0.04 s");
  trace.Decide(Instant(seconds(100) + milliseconds(50)), 2, "breaker", "trial");
  return trace;
}

TEST(WriteTraceTest, FullHasEverything) {
  v1::Trace out;
  WriteTrace(MakeTrace(Explain::kFull), out);
  ASSERT_EQ(out.attempts_size(), 2);
  const v1::Attempt& first = out.attempts(0);
  EXPECT_EQ(first.number(), 1U);
  EXPECT_FALSE(first.hedge());
  EXPECT_EQ(ToDuration(first.took()), milliseconds(12));
  EXPECT_EQ(first.address(), "192.0.2.7:443");
  EXPECT_TRUE(first.reused_connection());
  EXPECT_EQ(ToDuration(first.phases().queue()), microseconds(3));
  EXPECT_EQ(ToDuration(first.phases().wait()), milliseconds(11));
  EXPECT_FALSE(first.phases().has_connect()) << "it did not go through that phase";
  EXPECT_EQ(first.status(), 0U);
  EXPECT_EQ(first.error(), v1::HTTP_RESPONSE_TIMEOUT);
  EXPECT_EQ(first.phase(), v1::PHASE_WAIT);
  EXPECT_EQ(first.processed(), v1::PROCESSED_MAYBE);
  EXPECT_EQ(first.message(), "no answer in time");
  const v1::Attempt& second = out.attempts(1);
  EXPECT_TRUE(second.hedge());
  EXPECT_EQ(ToDuration(second.began()), milliseconds(50));
  EXPECT_EQ(second.status(), 503U);
  EXPECT_EQ(second.address(), "");
  EXPECT_EQ(second.error(), v1::ERROR_CODE_UNSPECIFIED);
  EXPECT_EQ(second.phase(), v1::PHASE_UNSPECIFIED);
  ASSERT_EQ(out.decisions_size(), 2);
  EXPECT_EQ(ToDuration(out.decisions(0).at()), milliseconds(12));
  EXPECT_EQ(out.decisions(0).attempt(), 1U);
  EXPECT_EQ(out.decisions(0).rule(), "retry");
  EXPECT_EQ(out.decisions(0).verdict(), "retry");
  EXPECT_EQ(out.decisions(0).detail(), "after 0.04 s");
  EXPECT_EQ(out.decisions(1).verdict(), "trial");
}

TEST(WriteTraceTest, SummaryHasNoPhasesAndOnlyWhatMadeADifference) {
  v1::Trace out;
  WriteTrace(MakeTrace(Explain::kSummary), out);
  ASSERT_EQ(out.attempts_size(), 2);
  EXPECT_FALSE(out.attempts(0).has_phases());
  EXPECT_EQ(out.attempts(0).error(), v1::HTTP_RESPONSE_TIMEOUT);
  ASSERT_EQ(out.decisions_size(), 1);
  EXPECT_EQ(out.decisions(0).rule(), "retry");
}

TEST(WriteTraceTest, TheLoserOfAHedgeHasNoError) {
  Trace trace(Instant{});
  trace.attempts.emplace_back().failure = FailureCode::kCancelled;
  v1::Trace out;
  WriteTrace(trace, out);
  EXPECT_EQ(out.attempts(0).error(), v1::ERROR_CODE_UNSPECIFIED);
}

// Where each RPC has the trace; FakeOrigin notes one attempt and one decision for a fetch that wants it.
TEST(TracedCallsTest, FetchHasItInItsReply) {
  ServerFixture fixture;
  for (const char* path : {"/ok/10", "/ok/100000", "/refused"}) {
    SCOPED_TRACE(path);
    for (const v1::Explain explain :
         {v1::EXPLAIN_UNSPECIFIED, v1::EXPLAIN_NONE, v1::EXPLAIN_SUMMARY, v1::EXPLAIN_FULL}) {
      SCOPED_TRACE(v1::Explain_Name(explain));
      v1::FetchRequest request = Request(path);
      request.set_explain(explain);
      grpc::ClientContext context;
      v1::FetchResponse response;
      const grpc::Status status = fixture.stub().Fetch(&context, request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(response.has_error(), request.url() == UrlOf("/refused"));
      EXPECT_EQ(response.has_trace(), explain > v1::EXPLAIN_NONE);
      EXPECT_EQ(response.trace().attempts_size(), explain > v1::EXPLAIN_NONE ? 1 : 0);
      EXPECT_EQ(response.trace().decisions_size(), explain == v1::EXPLAIN_FULL ? 1 : 0);
      if (request.url() == UrlOf("/ok/100000")) {
        EXPECT_EQ(response.response().body().size(), 100'000U);
      }
    }
  }
}

TEST(TracedCallsTest, AnUnknownExplainIsRefused) {
  ServerFixture fixture;
  v1::FetchRequest request = Request("/ok/1");
  request.set_explain(static_cast<v1::Explain>(4));
  grpc::ClientContext context;
  v1::FetchResponse response;
  const grpc::Status status = fixture.stub().Fetch(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FirstField(status), "explain");
}

TEST(TracedCallsTest, ABatchHasItForEachItemThatAsked) {
  ServerFixture fixture;
  v1::FetchBatchRequest request;
  *request.add_requests() = Request("/ok/1");
  *request.add_requests() = Request("/ok/20000");
  *request.add_requests() = Request("/refused");
  for (int i : {1, 2}) request.mutable_requests(i)->set_explain(v1::EXPLAIN_FULL);
  grpc::ClientContext context;
  const auto reader = fixture.stub().FetchBatch(&context, request);
  int results = 0;
  for (v1::FetchBatchResponse response; reader->Read(&response);) {
    for (const v1::BatchResult& result : response.results()) {
      ++results;
      EXPECT_EQ(result.fetch().trace().attempts_size(), result.index() == 0 ? 0 : 1);
    }
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(results, 3);
}

TEST(TracedCallsTest, AStreamHasItInItsTail) {
  ServerFixture fixture;
  for (const char* path : {"/ok/10", "/refused"}) {
    grpc::ClientContext context;
    const auto stream = fixture.stub().FetchStream(&context);
    v1::FetchStreamRequest request;
    *request.mutable_start()->mutable_request() = Request(path);
    request.mutable_start()->mutable_request()->set_explain(v1::EXPLAIN_SUMMARY);
    stream->Write(request);
    v1::FetchStreamResponse response;
    while (stream->Read(&response)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
    EXPECT_EQ(response.tail().trace().attempts_size(), 1) << path;
  }
}

TEST(TracedCallsTest, AListHasItWithThePageOrItsFailure) {
  ServerFixture fixture;
  for (const char* path : {"/ok/10", "/refused"}) {
    v1::FetchPagedRequest request;
    *request.mutable_request() = Request(path);
    request.mutable_request()->set_explain(v1::EXPLAIN_FULL);
    request.mutable_link_header();
    grpc::ClientContext context;
    const auto reader = fixture.stub().FetchPaged(&context, request);
    std::vector<v1::FetchPagedResponse> messages;
    for (v1::FetchPagedResponse response; reader->Read(&response);) messages.push_back(response);
    EXPECT_TRUE(reader->Finish().ok());
    ASSERT_FALSE(messages.empty()) << path;
    EXPECT_EQ(messages[0].trace().attempts_size(), 1) << path;
    for (size_t i = 1; i < messages.size(); ++i) EXPECT_FALSE(messages[i].has_trace()) << path;
  }
}

}  // namespace
}  // namespace fetchd::server
