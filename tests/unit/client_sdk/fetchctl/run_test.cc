#include <string>
#include <thread>

#include "fetchctl/run_fixture.h"
#include "gmock/gmock.h"

namespace fetchd::fetchctl {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

// GET http://a/STATUS answers with that status, "error" with an error.
grpc::Status Answer(grpc::ServerContext*, const v1::FetchRequest& request, v1::FetchResponse* reply) {
  reply->set_fetch_id("f-1");
  reply->set_attempts(2);
  const std::string what = request.url().substr(request.url().rfind('/') + 1);
  if (what == "error") {
    reply->mutable_error()->set_code(v1::DNS_ERROR);
    reply->mutable_error()->set_phase(v1::PHASE_DNS);
    reply->mutable_error()->set_message("no such name");
    return grpc::Status::OK;
  }
  v1::HttpResponse& response = *reply->mutable_response();
  response.set_status(static_cast<uint32_t>(std::stoul(what)));
  v1::Header& header = *response.add_headers();
  header.set_name("x-method");
  header.set_value(request.method());
  response.set_body("body of " + what + request.body());
  return grpc::Status::OK;
}

TEST_F(RunTest, GetPrintsTheBodyAlone) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "http://a/200"}), 0);
  EXPECT_EQ(out(), "body of 200");
  EXPECT_EQ(err(), "");
}

TEST_F(RunTest, GetShowsHeadersAndSendsData) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "-i", "-d", "@-", "http://a/201"}, "!"), 0);
  EXPECT_EQ(out(), "HTTP 201\nx-method: POST\n\nbody of 201!");
}

TEST_F(RunTest, GetWritesToAFile) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "-o", PathOf("f"), "http://a/200"}), 0);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(ReadFile("f"), "body of 200");
  EXPECT_EQ(Fetchctl({"get", "-o", PathOf("no/f"), "http://a/200"}), 23);
}

TEST_F(RunTest, HttpErrorsAreFineWithoutFail) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "http://a/500"}), 0);
  EXPECT_EQ(Fetchctl({"get", "-f", "http://a/404"}), 22);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(err(), "fetchctl: (22) the origin answered HTTP 404\n");
  EXPECT_EQ(Fetchctl({"get", "-f", "http://a/399"}), 0);
}

TEST_F(RunTest, GetExplainsErrors) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "http://a/error"}), 6);
  EXPECT_EQ(err(), "fetchctl: (6) DNS_ERROR in dns: no such name [2 attempts] [fetch f-1]\n");
  EXPECT_EQ(Fetchctl({"get", "-s", "http://a/error"}), 6);
  EXPECT_EQ(err(), "");
  EXPECT_EQ(Fetchctl({"get", "-sS", "http://a/error"}), 6);
  EXPECT_NE(err(), "");
}

TEST_F(RunTest, GetShowsWhatCameOfABrokenResponse) {
  service_.on_fetch = [](auto*, const auto&, v1::FetchResponse* reply) {
    reply->mutable_error()->set_code(v1::HTTP_RESPONSE_INCOMPLETE);
    reply->mutable_error()->mutable_partial_response()->set_status(200);
    reply->mutable_error()->mutable_partial_response()->set_body("half");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Fetchctl({"get", "http://a/"}), 18);
  EXPECT_EQ(out(), "half");
}

TEST_F(RunTest, GetPointsToStreamForLargeBodies) {
  service_.on_fetch = [](auto*, const auto&, v1::FetchResponse* reply) {
    reply->mutable_error()->set_code(v1::HTTP_RESPONSE_BODY_SIZE);
    return grpc::Status::OK;
  };
  EXPECT_EQ(Fetchctl({"get", "http://a/"}), 63);
  EXPECT_THAT(err(), HasSubstr("'fetchctl stream' takes bodies of any size"));
  EXPECT_EQ(Fetchctl({"get", "--max-filesize", "1", "http://a/"}), 63);
  EXPECT_THAT(err(), testing::Not(HasSubstr("fetchctl stream")));
}

TEST_F(RunTest, VerboseTracesBothWaysAndMasksSecrets) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "-v", "-H", "Authorization: Bearer t0p", "--secret-header", "X-K: s3c", "-H", "X-O: open",
                      "http://a/200"}),
            0);
  EXPECT_THAT(err(), HasSubstr("> GET http://a/200\n> Authorization: (secret)\n> X-K: (secret)\n> X-O: open\n"));
  EXPECT_THAT(err(), HasSubstr("* fetch f-1, 2 attempts\n< HTTP 200\n< x-method: \n"));
}

TEST_F(RunTest, JsonIsOneLineOfTheReply) {
  service_.on_fetch = Answer;
  EXPECT_EQ(Fetchctl({"get", "--json", "http://a/204"}), 0);
  EXPECT_EQ(out(), R"({"response":{"status":204,"headers":[{"name":"x-method"}],"body":"Ym9keSBvZiAyMDQ="},)"
                   R"("fetchId":"f-1","attempts":2})"
                   "\n");
  EXPECT_EQ(Fetchctl({"get", "--json", "-f", "http://a/500"}), 22);
  EXPECT_EQ(Fetchctl({"get", "--json", "http://a/error"}), 6);
}

TEST_F(RunTest, FailedRpcsExplainThemselves) {
  service_.on_fetch = [](auto*, const auto&, auto*) {
    google::rpc::ErrorInfo info;
    info.set_reason("INVALID_REQUEST");
    google::rpc::BadRequest bad;
    bad.add_field_violations()->set_field("url");
    bad.mutable_field_violations(0)->set_description("has no host");
    return StatusWith(grpc::StatusCode::INVALID_ARGUMENT, "malformed request", {&info, &bad});
  };
  EXPECT_EQ(Fetchctl({"get", "http://"}), 3);
  EXPECT_EQ(err(), "fetchctl: (3) fetchd at " + server_.address() +
                       ": INVALID_ARGUMENT (INVALID_REQUEST): malformed request; url: has no host\n");
  EXPECT_EQ(Fetchctl({"get", "--json", "http://"}), 3);
  EXPECT_EQ(out(),
            R"({"rpcError":{"code":"INVALID_ARGUMENT","message":"malformed request","reason":"INVALID_REQUEST"}})"
            "\n");
}

TEST_F(RunTest, UnreachableFetchdIs69WithAHint) {
  EXPECT_EQ(Fetchctl({"health", "--target", "unix:/nonexistent/fetchd.sock"}), 69);
  EXPECT_THAT(err(), HasSubstr("Is fetchd running there? --target ADDRESS or FETCHD_TARGET names another one."));
}

TEST_F(RunTest, InterruptIs130) {
  service_.on_fetch = [&](grpc::ServerContext* context, const auto&, auto*) {
    stop_.request_stop();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  EXPECT_EQ(Fetchctl({"get", "http://a/"}), 130);
  EXPECT_EQ(err(), "fetchctl: (130) interrupted\n");
}

TEST_F(RunTest, HealthFollowsTheServer) {
  EXPECT_EQ(Fetchctl({"health"}), 0);
  EXPECT_EQ(out(), "SERVING\n");
  server_.server().GetHealthCheckService()->SetServingStatus(false);
  EXPECT_EQ(Fetchctl({"health", "--json"}), 1);
  EXPECT_EQ(out(), "{\"status\":\"NOT_SERVING\"}\n");
}

TEST_F(RunTest, BadCommandLineAndMissingFiles) {
  EXPECT_EQ(Fetchctl({"get"}), 2);
  EXPECT_EQ(err(), "fetchctl: 'get' needs a URL\nTry 'fetchctl --help'.\n");
  EXPECT_EQ(Fetchctl({"get", "-d", "@/nonexistent", "http://a/"}), 26);
  EXPECT_EQ(Fetchctl({"get", "--tls-ca", "/nonexistent", "http://a/"}), 26);
  EXPECT_EQ(Fetchctl({"batch", "/nonexistent"}), 26);
  EXPECT_EQ(Fetchctl({"batch", "-"}, "# nothing\n"), 2);
  EXPECT_EQ(Fetchctl({"stream", "-T", "/nonexistent", "http://a/"}), 26);
  EXPECT_EQ(Fetchctl({"--version"}), 0);
  EXPECT_THAT(out(), StartsWith("fetchctl "));
}

// Answers each item as Answer does, the last one first.
grpc::Status AnswerBatch(grpc::ServerContext* context, const v1::FetchBatchRequest& request,
                         grpc::ServerWriter<v1::FetchBatchResponse>* writer) {
  for (int i = request.requests_size() - 1; i >= 0; --i) {
    v1::FetchBatchResponse message;
    v1::BatchResult& result = *message.add_results();
    result.set_index(static_cast<uint32_t>(i));
    if (request.requests(i).url().ends_with("skip")) {
      result.mutable_skipped()->set_reason("another failed");
    } else {
      Answer(context, request.requests(i), result.mutable_fetch());
    }
    writer->Write(message);
  }
  return grpc::Status::OK;
}

TEST_F(RunTest, BatchPrintsALineForEachAndExitsWithTheFirstFailure) {
  service_.on_batch = AnswerBatch;
  EXPECT_EQ(Fetchctl({"batch", "-f", "-"}, "http://a/200\nhttp://a/error\nhttp://a/404\nhttp://a/skip\n"), 6);
  EXPECT_EQ(out(),
            "3\tskipped\t0\thttp://a/skip\tanother failed\n"
            "2\t404\t11\thttp://a/404\n"
            "1\tDNS_ERROR\t0\thttp://a/error\tno such name\n"
            "0\t200\t11\thttp://a/200\n");
  EXPECT_THAT(err(), MatchesRegex("fetchctl: 3 fetched, 2 failed, 1 skipped, in .*\n"));
}

TEST_F(RunTest, BatchWritesBodiesAndJson) {
  service_.on_batch = AnswerBatch;
  EXPECT_EQ(Fetchctl({"batch", "-s", "--json", "--output-dir", PathOf("bodies"), WriteFile("urls", "http://a/200")}),
            0);
  EXPECT_THAT(out(), StartsWith(R"({"fetch":{"response":{"status":200,)"));
  EXPECT_EQ(ReadFile("bodies/0"), "body of 200");
  EXPECT_EQ(err(), "");
}

TEST_F(RunTest, BatchDrawsProgressOnATerminalOnly) {
  service_.on_batch = AnswerBatch;
  EXPECT_EQ(Fetchctl({"batch", "-"}, "http://a/200\n", /*terminal=*/true), 0);
  EXPECT_THAT(err(), HasSubstr("[##############################] 100% 1/1"));
  EXPECT_EQ(Fetchctl({"batch", "-"}, "http://a/200\n"), 0);
  EXPECT_THAT(err(), testing::Not(HasSubstr("###")));
}

TEST_F(RunTest, LargeBatchesGoInSeveralCallsWithOneNumbering) {
  std::vector<int> sizes;
  service_.on_batch = [&](grpc::ServerContext* context, const v1::FetchBatchRequest& request, auto* writer) {
    sizes.push_back(request.requests_size());
    return AnswerBatch(context, request, writer);
  };
  std::string urls;
  for (int i = 0; i < 5001; ++i) urls += "http://a/200\n";
  EXPECT_EQ(Fetchctl({"batch", "-"}, urls), 0);
  EXPECT_EQ(sizes, (std::vector<int>{5000, 1}));
  EXPECT_THAT(out(), HasSubstr("\n5000\t200\t11\thttp://a/200\n"));
}

TEST_F(RunTest, FailFastSkipsTheCallsNotMade) {
  service_.on_batch = AnswerBatch;
  std::string urls = "http://a/error\n";
  for (int i = 0; i < 5000; ++i) urls += "http://a/200\n";
  EXPECT_EQ(Fetchctl({"batch", "--fail-fast", "-"}, urls), 6);
  EXPECT_THAT(out(), HasSubstr("\n5000\tskipped\t0\thttp://a/200\tanother item failed first\n"));
  EXPECT_THAT(err(), HasSubstr("5000 fetched, 1 failed, 1 skipped"));
}

// Answers with a head, what was uploaded, and a tail.
grpc::Status AnswerStream(grpc::ServerContext*,
                          grpc::ServerReaderWriter<v1::FetchStreamResponse, v1::FetchStreamRequest>* stream) {
  v1::FetchStreamRequest in;
  stream->Read(&in);
  const v1::FetchStreamStart start = in.start();
  std::string body = start.has_body_length() ? std::to_string(start.body_length()) + " announced: " : "";
  while (stream->Read(&in)) body += in.chunk();
  v1::FetchStreamResponse out;
  if (!start.request().url().ends_with("error")) {
    out.mutable_head()->set_status(start.request().url().ends_with("404") ? 404 : 200);
    stream->Write(out);
    out.set_chunk(start.request().method() + " ");
    stream->Write(out);
    out.set_chunk(body);
    stream->Write(out);
  }
  v1::StreamTail& tail = *out.mutable_tail();
  tail.set_body_bytes(7);
  if (start.request().url().ends_with("broken")) tail.mutable_error()->set_code(v1::HTTP_RESPONSE_INCOMPLETE);
  if (start.request().url().ends_with("error")) tail.mutable_error()->set_code(v1::CONNECTION_REFUSED);
  stream->Write(out);
  return grpc::Status::OK;
}

TEST_F(RunTest, StreamWritesTheBody) {
  service_.on_stream = AnswerStream;
  EXPECT_EQ(Fetchctl({"stream", "-X", "GET", "http://a/"}), 0);
  EXPECT_EQ(out(), "GET ");
  EXPECT_EQ(Fetchctl({"stream", "-i", "-X", "GET", "-o", PathOf("f"), "http://a/"}), 0);
  EXPECT_EQ(out(), "");
  EXPECT_EQ(ReadFile("f"), "HTTP 200\n\nGET ");
}

TEST_F(RunTest, StreamUploadsFilesAndStandardInput) {
  service_.on_stream = AnswerStream;
  const std::string large(1'000'000, 'x');
  EXPECT_EQ(Fetchctl({"stream", "-T", WriteFile("in", large), "http://a/"}), 0);
  EXPECT_EQ(out(), "PUT 1000000 announced: " + large);
  EXPECT_EQ(Fetchctl({"stream", "-T", "-", "-X", "POST", "http://a/"}, "piped"), 0);
  EXPECT_EQ(out(), "POST piped");
}

TEST_F(RunTest, StreamReportsErrorsFromTheTail) {
  service_.on_stream = AnswerStream;
  EXPECT_EQ(Fetchctl({"stream", "http://a/broken"}), 18);
  EXPECT_EQ(out(), " ");
  EXPECT_EQ(Fetchctl({"stream", "http://a/error"}), 7);
  EXPECT_THAT(err(), HasSubstr("(7) CONNECTION_REFUSED"));
  EXPECT_EQ(Fetchctl({"stream", "-f", "http://a/404"}), 22);
  EXPECT_EQ(out(), "");
}

TEST_F(RunTest, StreamJsonHasHeadAndTail) {
  service_.on_stream = AnswerStream;
  EXPECT_EQ(Fetchctl({"stream", "--json", "-o", PathOf("f"), "http://a/"}), 0);
  EXPECT_EQ(out(), "{\"head\":{\"status\":200},\"tail\":{\"bodyBytes\":\"7\"}}\n");
}

TEST_F(RunTest, StreamHonoursItsRateLimit) {
  service_.on_stream = AnswerStream;
  const absl::Time start = absl::Now();
  EXPECT_EQ(Fetchctl({"stream", "--limit-rate", "1k", "-X", std::string(102, 'M'), "http://a/"}), 0);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(100));
}

TEST_F(RunTest, StreamSumsUpOnATerminal) {
  service_.on_stream = AnswerStream;
  EXPECT_EQ(Fetchctl({"stream", "-X", "GET", "-o", PathOf("f"), "http://a/"}, "", /*terminal=*/true), 0);
  EXPECT_THAT(err(), HasSubstr("fetchctl: received 4 B, "));
}

}  // namespace
}  // namespace fetchd::fetchctl
