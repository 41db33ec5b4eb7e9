#include <string>

#include "fetchctl/arguments.h"
#include "fetchctl/origin_text.h"
#include "fetchctl/run_fixture.h"
#include "gmock/gmock.h"

namespace fetchd::fetchctl {
namespace {

using testing::HasSubstr;

v1::Origin MakeOrigin(const std::string& name) {
  v1::Origin origin;
  origin.set_name(name);
  origin.mutable_breaker()->set_state(v1::OriginBreaker::STATE_CLOSED);
  origin.mutable_concurrency()->set_limit(128);
  return origin;
}

TEST(OriginTextTest, AQuietOriginIsShort) {
  EXPECT_EQ(Text(MakeOrigin("https://a.test:443")),
            "https://a.test:443\tclosed\t0 in flight of 128, 0 connections (0 idle)");
}

TEST(OriginTextTest, TellsEverythingThatIsUnusual) {
  v1::Origin origin = MakeOrigin("https://a.test:443");
  origin.set_rule("*.test");
  origin.mutable_hold_until()->set_seconds(1'700'000'000);
  v1::OriginBreaker& breaker = *origin.mutable_breaker();
  breaker.set_state(v1::OriginBreaker::STATE_OPEN);
  breaker.set_forced(true);
  breaker.mutable_retry_at()->set_seconds(1'700'000'001);
  breaker.mutable_retry_at()->set_nanos(500'000'000);
  breaker.set_consecutive_failures(10);
  breaker.set_failure_rate(0.5);
  breaker.set_results(40);
  breaker.set_trials_in_flight(2);
  origin.mutable_concurrency()->set_adaptive(true);
  origin.mutable_queue()->set_interactive(1);
  origin.mutable_queue()->set_bulk(2);
  origin.mutable_rate_limit()->set_per_second(50);
  origin.mutable_retry_budget()->set_in_flight(3);
  origin.add_ejected()->set_address("192.0.2.7");
  origin.mutable_ejected(0)->mutable_until()->set_seconds(1'700'000'002);
  origin.mutable_latency_p95()->set_nanos(12'000'000);
  EXPECT_EQ(Text(origin),
            "https://a.test:443\topen by hand until 2023-11-14T22:13:21.500Z\trule *.test, held until "
            "2023-11-14T22:13:20.000Z, 10 failures in a row, 50 % of 40 failed, 2 trials in flight, 0 in flight of 128 "
            "(adaptive), 3 waiting, at most 50/s, 0 connections (0 idle), 3 retries in flight, without 192.0.2.7 until "
            "2023-11-14T22:13:22.000Z, p95 12 ms");
}

class OriginsTest : public RunTest {
 protected:
  FakeOriginService& origins_ = server_.origins;
  FakeAdminService& admin_ = server_.admin;
};

TEST_F(OriginsTest, OriginsShowsALineForEachOfAllPages) {
  std::vector<std::string> asked;
  origins_.on_list = [&](const v1::ListOriginsRequest& request, v1::ListOriginsResponse* response) {
    asked.push_back(request.host_contains() + "/" + request.page_token());
    *response->add_origins() = MakeOrigin(request.page_token().empty() ? "http://a:80" : "http://b:80");
    if (request.page_token().empty()) response->set_next_page_token("t");
    return grpc::Status::OK;
  };
  EXPECT_EQ(Fetchctl({"origins", "--host", "x"}), 0);
  EXPECT_EQ(out(),
            "http://a:80\tclosed\t0 in flight of 128, 0 connections (0 idle)\n"
            "http://b:80\tclosed\t0 in flight of 128, 0 connections (0 idle)\n");
  EXPECT_THAT(asked, testing::ElementsAre("x/", "x/t"));
  EXPECT_EQ(Fetchctl({"origins", "--json"}), 0);
  EXPECT_THAT(out(), testing::StartsWith("{\"name\":\"http://a:80\","));
}

TEST_F(OriginsTest, WatchShowsWhatComes) {
  origins_.on_watch = [](const v1::WatchOriginsRequest&, grpc::ServerWriter<v1::WatchOriginsResponse>* writer) {
    v1::WatchOriginsResponse response;
    *response.add_origins() = MakeOrigin("http://a:80");
    writer->Write(response);
    response.Clear();
    response.add_forgotten("http://a:80");
    writer->Write(response);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining");
  };
  EXPECT_EQ(Fetchctl({"origins", "--watch"}), 69);
  EXPECT_EQ(out(), "http://a:80\tclosed\t0 in flight of 128, 0 connections (0 idle)\nhttp://a:80\tforgotten\n");
  EXPECT_EQ(Fetchctl({"origins", "--watch", "--json", "-s"}), 69);
  EXPECT_THAT(out(), HasSubstr("{\"forgotten\":\"http://a:80\"}\n"));
}

TEST_F(OriginsTest, CheckSaysWhatWouldBecomeOfTheFetch) {
  v1::CheckUrlResponse answer;
  v1::CheckUrlRequest asked;
  origins_.on_check = [&](const v1::CheckUrlRequest& request, v1::CheckUrlResponse* response) {
    asked = request;
    *response = answer;
    return grpc::Status::OK;
  };
  answer.set_allowed(true);
  answer.set_caller("fetchctl");
  answer.set_weight(1);
  answer.set_verdict(v1::CheckUrlResponse::VERDICT_GO);
  answer.add_addresses()->set_address("192.0.2.7");
  answer.mutable_addresses(0)->set_allowed(true);
  answer.add_addresses()->set_address("10.0.0.1");
  answer.mutable_addresses(1)->set_reason("10.0.0.1 is private");
  answer.mutable_timeouts()->mutable_total()->set_seconds(30);
  answer.mutable_timeouts()->mutable_attempt()->set_seconds(10);
  answer.mutable_timeouts()->mutable_queue()->set_seconds(5);
  answer.mutable_retry()->set_max_attempts(3);
  answer.set_priority(v1::PRIORITY_BULK);
  *answer.mutable_origin() = MakeOrigin("http://a:80");
  EXPECT_EQ(Fetchctl({"check", "--profile", "p", "-X", "PUT", "a/x"}), 0);
  EXPECT_EQ(out(),
            "http://a/x may be fetched by fetchctl\n"
            "now:      goes at once\n"
            "address:  192.0.2.7\n"
            "address:  10.0.0.1, refused: 10.0.0.1 is private\n"
            "policy:   3 attempts, total 30 s, attempt 10 s, queue 5 s, priority bulk, weight 1\n"
            "origin:   http://a:80\tclosed\t0 in flight of 128, 0 connections (0 idle)\n");
  EXPECT_EQ(asked.url(), "http://a/x");
  EXPECT_EQ(asked.profile(), "p");
  EXPECT_EQ(asked.method(), "PUT");

  answer.set_verdict(v1::CheckUrlResponse::VERDICT_REFUSED);
  answer.set_limit("breaker");
  answer.mutable_at()->set_seconds(1'700'000'000);
  EXPECT_EQ(Fetchctl({"check", "a/x"}), 75);
  EXPECT_THAT(out(), HasSubstr("now:      is refused until 2023-11-14T22:13:20.000Z (breaker)\n"));
  answer.set_verdict(v1::CheckUrlResponse::VERDICT_WAIT);
  EXPECT_EQ(Fetchctl({"check", "a/x"}), 0);
  EXPECT_THAT(out(), HasSubstr("now:      waits until"));

  answer = {};
  answer.set_allowed(true);
  answer.set_dns_error("no such name");
  EXPECT_EQ(Fetchctl({"check", "a/x"}), 6);
  answer = {};
  answer.set_caller("me");
  answer.set_reason("port 25 is not allowed");
  EXPECT_EQ(Fetchctl({"check", "a/x"}), 9);
  EXPECT_EQ(out(), "http://a/x may not be fetched by me: port 25 is not allowed\n");
  EXPECT_EQ(Fetchctl({"check", "--json", "a/x"}), 9);
  EXPECT_EQ(out(), "{\"reason\":\"port 25 is not allowed\",\"caller\":\"me\"}\n");
}

TEST_F(OriginsTest, AdminActsOnOrigins) {
  std::string acts;
  admin_.on_reset = [&](const v1::ResetOriginRequest& request) { acts += "reset " + request.name(); };
  admin_.on_open = [&](const v1::ForceOpenRequest& request) {
    acts += "open " + request.name() + (request.has_duration() ? request.duration().ShortDebugString() : "");
  };
  admin_.on_close = [&](const v1::ForceCloseRequest& request) { acts += "close " + request.name(); };
  const auto act = [&](std::vector<std::string> words) {
    acts.clear();
    words.insert(words.begin(), {"admin", "--admin", server_.address()});
    return Fetchctl(words);
  };
  EXPECT_EQ(act({"reset", "https://a"}), 0);
  EXPECT_EQ(acts, "reset https://a");
  EXPECT_THAT(out(), testing::StartsWith("https://a\tclosed\t"));
  EXPECT_EQ(act({"open", "https://a"}), 0);
  EXPECT_EQ(acts, "open https://a");
  EXPECT_EQ(act({"open", "https://a", "--for", "90"}), 0);
  EXPECT_EQ(acts, "open https://aseconds: 90");
  EXPECT_EQ(act({"close", "https://a"}), 0);
  EXPECT_EQ(acts, "close https://a");
}

TEST(AdminArgumentsTest, RefusesWhatMakesNoSense) {
  const auto complaint = [](const std::vector<std::string>& words) {
    return std::string(Parse(words, {}).status().message());
  };
  EXPECT_THAT(complaint({"admin", "reset", "https://a"}), HasSubstr("needs --admin ADDRESS"));
  EXPECT_THAT(complaint({"admin", "--admin", "x:1", "reset"}), HasSubstr("takes reset, open or close, and an origin"));
  EXPECT_THAT(complaint({"admin", "--admin", "x:1", "drop", "https://a"}), HasSubstr("not drop"));
  EXPECT_THAT(complaint({"admin", "--admin", "x:1", "--for", "1", "close", "https://a"}),
              HasSubstr("--for belongs to"));
  EXPECT_THAT(complaint({"admin", "--target", "x:1", "close", "https://a"}), HasSubstr("does not belong to 'admin'"));
  EXPECT_THAT(complaint({"origins", "https://a"}), HasSubstr("takes no https://a"));
}

}  // namespace
}  // namespace fetchd::fetchctl
