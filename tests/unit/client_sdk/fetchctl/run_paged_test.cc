#include <string>
#include <thread>
#include <vector>

#include "fetchctl/run_fixture.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"

namespace fetchd::fetchctl {
namespace {

using testing::HasSubstr;

class RunPagedTest : public RunTest {
 protected:
  // The fake answers every list with these messages, in protobuf text format.
  void Serve(const std::vector<std::string>& texts) {
    service_.on_paged = [this, texts](auto*, const v1::FetchPagedRequest& request, auto* writer) {
      request_ = request;
      for (const std::string& text : texts) {
        v1::FetchPagedResponse message;
        EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
        writer->Write(message);
      }
      return grpc::Status::OK;
    };
  }

  v1::FetchPagedRequest request_;
};

TEST_F(RunPagedTest, ItemsAreOnePerLineByteForByteElsewhere) {
  Serve({R"(items { items: "{\"n\": 1.10,\n \"s\": \"a\\n\"}" items: "2" } resume_token: "t1")",
         R"(items { items: "\"x\"" } resume_token: "t2")", R"(end { reason: REASON_LAST_PAGE pages: 2 items: 3 })"});
  EXPECT_EQ(Fetchctl({"paged", "--items", "/data", "-H", "A: b", "http://a/"}), 0);
  EXPECT_EQ(out(), "{\"n\": 1.10,  \"s\": \"a\\n\"}\n2\n\"x\"\n");
  EXPECT_EQ(err(), "");
  EXPECT_EQ(request_.unit(), v1::FetchPagedRequest::UNIT_ITEM);
  EXPECT_EQ(request_.request().url(), "http://a/");
  EXPECT_EQ(request_.request().headers(0).name(), "A");
  EXPECT_TRUE(request_.has_link_header());
}

TEST_F(RunPagedTest, PagesComeWhole) {
  Serve({R"(page { number: 1 response { status: 200 body: "[1]" } })",
         R"(page { number: 2 response { status: 200 body: "[2]\n" } })",
         R"(end { reason: REASON_LAST_PAGE pages: 2 })"});
  EXPECT_EQ(Fetchctl({"paged", "http://a/"}), 0);
  EXPECT_EQ(out(), "[1]\n[2]\n");
  EXPECT_EQ(request_.unit(), v1::FetchPagedRequest::UNIT_PAGE);
  EXPECT_EQ(Fetchctl({"paged", "-i", "-o", PathOf("f"), "http://a/"}), 0);
  EXPECT_EQ(ReadFile("f"), "HTTP 200\n\n[1]\nHTTP 200\n\n[2]\n");
}

TEST_F(RunPagedTest, JsonWrapsItemsAndEnd) {
  Serve({R"(items { items: "1" })", R"(end { reason: REASON_MAX_ITEMS pages: 1 items: 1 } resume_token: "tok")"});
  EXPECT_EQ(Fetchctl({"paged", "--json", "--items", "", "--max-items", "1", "http://a/"}), 0);
  EXPECT_EQ(out(),
            "{\"item\":1}\n"
            "{\"end\":{\"reason\":\"REASON_MAX_ITEMS\",\"pages\":\"1\",\"items\":\"1\"},\"resumeToken\":\"dG9r\"}\n");
}

TEST_F(RunPagedTest, JsonWrapsPages) {
  Serve({R"(page { number: 1 })", R"(end { reason: REASON_LAST_PAGE })"});
  EXPECT_EQ(Fetchctl({"paged", "--json", "http://a/"}), 0);
  EXPECT_THAT(out(), testing::StartsWith("{\"page\":{\"number\":\"1\"}}\n"));
}

TEST_F(RunPagedTest, FailedPageGivesItsCodeAndATokenThatWorks) {
  Serve({R"(items { items: "1" } resume_token: "t1")",
         R"(end { reason: REASON_ERROR error { code: PAGE_STATUS phase: PHASE_PAGINATE message: "HTTP 500" } }
            resume_token: "\377\376again")"});
  EXPECT_EQ(Fetchctl({"paged", "--items", "", "http://a/"}), 22);
  EXPECT_EQ(out(), "1\n");
  EXPECT_EQ(err(), "fetchctl: (22) PAGE_STATUS in paginate: HTTP 500\nfetchctl: continue with --resume __5hZ2Fpbg\n");

  Serve({R"(end { reason: REASON_LAST_PAGE })"});
  EXPECT_EQ(Fetchctl({"paged", "--items", "", "--resume", "__5hZ2Fpbg", "http://a/"}), 0);
  EXPECT_EQ(request_.resume_token(),
            "\xff\xfe"
            "again");
}

TEST_F(RunPagedTest, DrainingIs69WithTheToken) {
  Serve({R"(end { reason: REASON_DRAINING } resume_token: "t")"});
  EXPECT_EQ(Fetchctl({"paged", "http://a/"}), 69);
  EXPECT_THAT(err(), HasSubstr("fetchctl: continue with --resume dA\n"));
}

// Standard output that asks for a stop, as Ctrl-C does, when the first thing is written to it.
class StoppingBuffer : public std::stringbuf {
 public:
  explicit StoppingBuffer(std::stop_source& stop) : stop_(stop) {}

 protected:
  std::streamsize xsputn(const char* data, std::streamsize size) override {
    stop_.request_stop();
    return std::stringbuf::xsputn(data, size);
  }

 private:
  std::stop_source& stop_;
};

TEST_F(RunPagedTest, InterruptWritesWhatCameAndGivesTheToken) {
  service_.on_paged = [&](grpc::ServerContext* context, const auto&, auto* writer) {
    v1::FetchPagedResponse message;
    message.mutable_items()->add_items("1");
    message.mutable_items()->add_items("2");
    message.set_resume_token("t");
    writer->Write(message);
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  StoppingBuffer buffer(stop_);
  std::istringstream in;
  std::ostream out(&buffer);
  std::ostringstream err;
  Terminal terminal{in, out, err};
  EXPECT_EQ(
      fetchctl::Run({"paged", "--items", "", "http://a/"}, {.target = server_.address()}, terminal, stop_.get_token()),
      130);
  EXPECT_EQ(err.str(), "fetchctl: (130) interrupted\nfetchctl: continue with --resume dA\n");
  EXPECT_EQ(buffer.str(), "1\n2\n");
}

}  // namespace
}  // namespace fetchd::fetchctl
