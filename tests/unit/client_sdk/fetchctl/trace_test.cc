#include "fetchctl/trace.h"

#include <string>

#include "absl/time/time.h"
#include "fetchctl/flag_table.h"
#include "fetchctl/run_fixture.h"
#include "gmock/gmock.h"

namespace fetchd::fetchctl {
namespace {

using testing::HasSubstr;

std::string TextOf(absl::Duration duration) {
  google::protobuf::Duration proto;
  SetDuration(duration, proto);
  return Text(proto);
}

TEST(TraceTextTest, DurationsHaveThreeDigitsThatCount) {
  EXPECT_EQ(TextOf(absl::ZeroDuration()), "0 us");
  EXPECT_EQ(TextOf(absl::Nanoseconds(45'678)), "45.7 us");
  EXPECT_EQ(TextOf(absl::Microseconds(999)), "999 us");
  EXPECT_EQ(TextOf(absl::Nanoseconds(999'600)), "1 ms");
  EXPECT_EQ(TextOf(absl::Milliseconds(1)), "1 ms");
  EXPECT_EQ(TextOf(absl::Microseconds(12'345)), "12.3 ms");
  EXPECT_EQ(TextOf(absl::Microseconds(999'600)), "1 s");
  EXPECT_EQ(TextOf(absl::Milliseconds(1500)), "1.5 s");
  EXPECT_EQ(TextOf(absl::Seconds(1234)), "1234 s");
}

// Two attempts with a decision between them, and one of the whole fetch.
v1::Trace MakeTrace() {
  v1::Trace trace;
  v1::Attempt& first = *trace.add_attempts();
  first.set_number(1);
  SetDuration(absl::Milliseconds(2), *first.mutable_took());
  first.set_error(v1::CONNECTION_TERMINATED);
  first.set_phase(v1::PHASE_WAIT);
  first.set_message("the origin closed the connection");
  first.set_address("192.0.2.7:443");
  first.set_reused_connection(true);
  v1::Attempt& second = *trace.add_attempts();
  second.set_number(2);
  second.set_hedge(true);
  SetDuration(absl::Milliseconds(52), *second.mutable_began());
  SetDuration(absl::Milliseconds(8), *second.mutable_took());
  second.set_status(200);
  second.set_address("192.0.2.8:443");
  SetDuration(absl::Milliseconds(3), *second.mutable_phases()->mutable_connect());
  SetDuration(absl::Milliseconds(5), *second.mutable_phases()->mutable_wait());
  v1::Decision& wait = *trace.add_decisions();
  SetDuration(absl::Milliseconds(2), *wait.mutable_at());
  wait.set_attempt(1);
  wait.set_rule("retry");
  wait.set_verdict("retry");
  wait.set_detail("after 0.05 s");
  v1::Decision& whole = *trace.add_decisions();
  SetDuration(absl::Milliseconds(70), *whole.mutable_at());
  whole.set_rule("budget");
  whole.set_verdict("spent");
  return trace;
}

constexpr char kTraceText[] =
    "*       2.0 ms  attempt 1: CONNECTION_TERMINATED in wait from 192.0.2.7:443 in 2 ms (reused connection): "
    "the origin closed the connection\n"
    "*       2.0 ms  attempt 1: retry: retry, after 0.05 s\n"
    "*      60.0 ms  attempt 2 (hedge): HTTP 200 from 192.0.2.8:443 in 8 ms (connect 3 ms, wait 5 ms)\n"
    "*      70.0 ms  budget: spent\n";

TEST(TraceTextTest, HasALineForEachAttemptAndDecisionInTheOrderOfTime) { EXPECT_EQ(Text(MakeTrace()), kTraceText); }

TEST(TraceTextTest, AnAttemptWithoutStatusAndErrorWasCancelled) {
  v1::Trace trace;
  trace.add_attempts()->set_number(1);
  EXPECT_EQ(Text(trace), "*       0.0 ms  attempt 1: cancelled in 0 us\n");
  trace.mutable_attempts(0)->set_error(static_cast<v1::ErrorCode>(9999));
  EXPECT_THAT(Text(trace), HasSubstr("attempt 1: error 9999 in 0 us"));
  EXPECT_EQ(Text(v1::Trace()), "");
}

TEST_F(RunTest, ExplainAsksForTheTraceAndShowsItApartFromTheBody) {
  v1::Explain asked = v1::EXPLAIN_UNSPECIFIED;
  service_.on_fetch = [&](auto*, const v1::FetchRequest& request, v1::FetchResponse* reply) {
    asked = request.explain();
    reply->mutable_response()->set_status(200);
    reply->mutable_response()->set_body("body");
    *reply->mutable_trace() = MakeTrace();
    return grpc::Status::OK;
  };
  EXPECT_EQ(Fetchctl({"get", "--explain", "http://a/"}), 0);
  EXPECT_EQ(asked, v1::EXPLAIN_FULL);
  EXPECT_EQ(out(), "body");
  EXPECT_EQ(err(), kTraceText);
  EXPECT_EQ(Fetchctl({"get", "--explain", "--json", "http://a/"}), 0);
  EXPECT_THAT(out(), HasSubstr("\"trace\":{\"attempts\":[{\"number\":1,"));
  EXPECT_EQ(err(), "");
  EXPECT_EQ(Fetchctl({"get", "http://a/"}), 0);
  EXPECT_EQ(asked, v1::EXPLAIN_UNSPECIFIED);
  EXPECT_EQ(err(), "");
}

TEST_F(RunTest, ExplainShowsTheTraceOfEachItemOfABatch) {
  service_.on_batch = [](auto*, const v1::FetchBatchRequest& request, auto* writer) {
    v1::FetchBatchResponse response;
    for (int i = 0; i < request.requests_size(); ++i) {
      EXPECT_EQ(request.requests(i).explain(), v1::EXPLAIN_FULL);
      v1::BatchResult& result = *response.add_results();
      result.set_index(static_cast<uint32_t>(i));
      result.mutable_fetch()->mutable_response()->set_status(200);
      *result.mutable_fetch()->mutable_trace() = MakeTrace();
    }
    writer->Write(response);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Fetchctl({"batch", "-s", "--explain", "-"}, "http://a/1\nhttp://a/2\n"), 0);
  EXPECT_EQ(err(), std::string(kTraceText) + kTraceText);
}

TEST_F(RunTest, ExplainShowsTheTraceOfAStream) {
  service_.on_stream = [](auto*, auto* stream) {
    v1::FetchStreamRequest request;
    stream->Read(&request);
    EXPECT_EQ(request.start().request().explain(), v1::EXPLAIN_FULL);
    v1::FetchStreamResponse response;
    response.mutable_head()->set_status(200);
    stream->Write(response);
    *response.mutable_tail()->mutable_trace() = MakeTrace();
    stream->Write(response);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Fetchctl({"stream", "-s", "--explain", "http://a/"}), 0);
  EXPECT_EQ(err(), kTraceText);
}

// Two pages, then an end with the trace of a page that failed.
grpc::Status TracedPages(grpc::ServerContext*, const v1::FetchPagedRequest&,
                         grpc::ServerWriter<v1::FetchPagedResponse>* writer) {
  for (const char* item : {"1", "2"}) {
    v1::FetchPagedResponse response;
    response.mutable_items()->add_items(item);
    response.mutable_items()->add_items(item);
    *response.mutable_trace() = MakeTrace();
    writer->Write(response);
  }
  v1::FetchPagedResponse end;
  end.mutable_end()->set_reason(v1::PagedEnd::REASON_LAST_PAGE);
  *end.mutable_trace() = MakeTrace();
  writer->Write(end);
  return grpc::Status::OK;
}

TEST_F(RunTest, ExplainShowsTheTraceOfEachPageOnce) {
  service_.on_paged = TracedPages;
  EXPECT_EQ(Fetchctl({"paged", "--items", "", "--explain", "http://a/"}), 0);
  EXPECT_EQ(out(), "1\n1\n2\n2\n");
  EXPECT_EQ(err(), std::string(kTraceText) + kTraceText + kTraceText);
  EXPECT_EQ(Fetchctl({"paged", "--items", "", "--explain", "--json", "http://a/"}), 0);
  EXPECT_THAT(out(), testing::StartsWith("{\"trace\":{"));
  EXPECT_THAT(out(), HasSubstr("{\"item\":1}\n{\"item\":1}\n{\"trace\":{"));
  EXPECT_EQ(Fetchctl({"paged", "--items", "", "http://a/"}), 0);
  EXPECT_EQ(err(), "");
}

}  // namespace
}  // namespace fetchd::fetchctl
