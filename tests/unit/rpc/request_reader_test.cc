#include "rpc/request_reader.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text.h"
#include "fetch/resume_token.h"
#include "model/body_contract.h"
#include "model/redirect.h"
#include "policy/classify.h"
#include "support/fake_clock.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Starts nothing; 10.0.0.1 is forbidden.
class NoStarter final : public FetchStarter {
 public:
  absl::Status CheckUrl(const Url& url) const override {
    if (url.host() == "10.0.0.1") return absl::PermissionDeniedError("10.0.0.1 is a private address");
    return absl::OkStatus();
  }
  void Start(std::shared_ptr<FetchCall>) override { ADD_FAILURE() << "reached the network"; }
  void Cancel(const std::shared_ptr<FetchCall>&) override {}
};

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class RequestReaderTest : public ::testing::Test {
 protected:
  RequestReader Reader(ReaderOptions options = {}) { return RequestReader(options, starter_, ids_); }
  RpcFacts Facts(Instant answer_by = kNever) {
    return {.caller = "tester", .now = clock_.Now(), .wall_now = clock_.WallNow(), .answer_by = answer_by};
  }
  FetchSpec Good(const std::string& text, ReaderOptions options = {}, Instant answer_by = kNever) {
    auto read = Reader(options).ReadFetch(Parse<v1::FetchRequest>(text), Facts(answer_by));
    if (const auto* refusal = std::get_if<Refusal>(&read)) {
      ADD_FAILURE() << ToStatus(*refusal).error_message();
      return {};
    }
    return std::get<FetchSpec>(std::move(read));
  }

  FakeClock clock_;
  NoStarter starter_;
  FetchIds ids_{0x1234};
  ResumeTokens tokens_{ResumeTokenOptions{.key = std::string(32, 'k')}};
};

std::vector<std::string> Fields(const Refusal& refusal) {
  std::vector<std::string> fields;
  if (const auto* invalid = std::get_if<InvalidRequest>(&refusal))
    for (const FieldViolation& v : invalid->violations) fields.push_back(v.field);
  return fields;
}

enum class Rpc { kFetch, kBatch, kStream, kPaged };

struct BadRow {
  Rpc rpc;
  // The request in text format; $long stands for 16 KiB + 1 of "x".
  const char* text;
  const char* field;
  const char* description;
};

constexpr char kUrl[] = "url: 'http://h/'";

const BadRow kBadRows[] = {
    // Redirects and sessions.
    {Rpc::kFetch, "url: 'http://h/' redirects { mode: 4 }", "redirects.mode", "is not a known value"},
    {Rpc::kFetch, "url: 'http://h/' redirects { mode: MODE_FOLLOW max_redirects: 21 }", "redirects.max_redirects",
     "must be at most 20"},
    {Rpc::kFetch, "url: 'http://h/' session: 'a b'", "session", "must be 1 to 64 of [A-Za-z0-9._-]"},
    {Rpc::kFetch, "url: 'http://h/' session: 's' headers { name: 'Cookie' value: 'a=b' }", "session",
     "cannot go with a cookie header"},
    // URL.
    {Rpc::kFetch, "", "url", "required"},
    {Rpc::kFetch, "url: 'example.com/x'", "url", ""},
    {Rpc::kFetch, "url: '/relative'", "url", ""},
    {Rpc::kFetch, "url: 'http://'", "url", ""},
    {Rpc::kFetch, "url: 'http:///path'", "url", ""},
    {Rpc::kFetch, "url: 'http://user:secret@h/'", "url", ""},
    {Rpc::kFetch, "url: 'http://h/a b'", "url", ""},
    {Rpc::kFetch, "url: 'http://h/\\r\\nx'", "url", ""},
    {Rpc::kFetch, "url: 'http://h\\303\\244/'", "url", ""},
    {Rpc::kFetch, "url: 'http://h:0/'", "url", ""},
    {Rpc::kFetch, "url: 'http://h:65536/'", "url", ""},
    {Rpc::kFetch, "url: 'http://0x7f.1/'", "url", ""},
    {Rpc::kFetch, "url: 'http://2130706433/'", "url", ""},
    {Rpc::kFetch, "url: 'http://[::1%25eth0]/'", "url", ""},
    {Rpc::kFetch, "url: 'http://h/$long'", "url", ""},
    // Method.
    {Rpc::kFetch, "url: 'http://h/' method: 'GE T'", "method", "token"},
    {Rpc::kFetch, "url: 'http://h/' method: 'GET\\r\\n'", "method", "token"},
    {Rpc::kFetch, "url: 'http://h/' method: 'G\\303\\204T'", "method", "token"},
    {Rpc::kFetch, "url: 'http://h/' method: 'CONNECT'", "method", "CONNECT"},
    {Rpc::kFetch, "url: 'http://h/' method: 'TRACE'", "method", "TRACE"},
    {Rpc::kFetch, "url: 'http://h/' method: 'ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG'", "method", "32 bytes"},
    // Headers.
    {Rpc::kFetch, "url: 'http://h/' headers {}", "headers[0].name", "required"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' } headers { name: 'b c' }", "headers[1].name", "token"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: ':path' }", "headers[0].name", "token"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a:' }", "headers[0].name", "token"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a\\n' }", "headers[0].name", "token"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: '$long' }", "headers[0].name", "256 bytes"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'Host' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'Content-Length' value: '5' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'transfer-encoding' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'connection' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'Keep-Alive' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'proxy-connection' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'TE' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'trailer' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'upgrade' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'expect' }", "headers[0].name", "itself"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' value: 'x\\r\\ny: z' }", "headers[0].value", "CR"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' value: 'x\\ny' }", "headers[0].value", "LF"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' value: 'x\\0y' }", "headers[0].value", "NUL"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' value: ' x' }", "headers[0].value", "blank"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' value: 'x\\t' }", "headers[0].value", "blank"},
    {Rpc::kFetch, "url: 'http://h/' headers { name: 'a' value: '$long' }", "headers[0].value", "16 KiB"},
    // What becomes of the body.
    {Rpc::kFetch, "url: 'http://h/' body_policy { coding: 9 }", "body_policy.coding", "known"},
    {Rpc::kFetch, "url: 'http://h/' expect { content_types: 'json' }", "expect.content_types[0]", "media type"},
    {Rpc::kFetch, "url: 'http://h/' expect { content_types: 'a/b' content_types: '*/b' }", "expect.content_types[1]",
     "media type"},
    {Rpc::kFetch, "url: 'http://h/' expect { content_types: 'a/b;c=d' }", "expect.content_types[0]", "without"},
    {Rpc::kFetch, "url: 'http://h/' expect { content_types: '' }", "expect.content_types[0]", "media type"},
    {Rpc::kFetch, "url: 'http://h/' expect { sha256: 'abc' }", "expect.sha256", "64"},
    {Rpc::kFetch, "url: 'http://h/' expect { digest: 9 }", "expect.digest", "known"},
    {Rpc::kFetch, "url: 'http://h/' select: 'a'", "select", "/"},
    {Rpc::kFetch, "url: 'http://h/' select: '/~'", "select", "~0"},
    {Rpc::kStream, "request { url: 'http://h/' select: 'a' }", "start.request.select", "/"},
    {Rpc::kPaged, "request { url: 'http://h/' select: '/a' } link_header {}", "request.select", "items"},
    // Timeouts.
    {Rpc::kFetch, "url: 'http://h/' timeouts { total { seconds: -1 } }", "timeouts.total", "negative"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { attempt { nanos: -1 } }", "timeouts.attempt", "negative"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { queue { seconds: -1 nanos: -5 } }", "timeouts.queue", "negative"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { dns { seconds: 1 nanos: -1 } }", "timeouts.dns", "valid"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { connect { nanos: 1000000000 } }", "timeouts.connect", "valid"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { tls { seconds: 315576000001 } }", "timeouts.tls", "valid"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { send_idle { seconds: -1 } }", "timeouts.send_idle", "negative"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { first_byte { seconds: -1 } }", "timeouts.first_byte", "negative"},
    {Rpc::kFetch, "url: 'http://h/' timeouts { between_bytes { seconds: -1 } }", "timeouts.between_bytes", "negative"},
    // Retry and body policy.
    {Rpc::kFetch, "url: 'http://h/' retry { max_attempts: 11 }", "retry.max_attempts", "at most 10"},
    {Rpc::kFetch, "url: 'http://h/' retry { initial_backoff { seconds: -1 } }", "retry.initial_backoff", "negative"},
    {Rpc::kFetch, "url: 'http://h/' retry { max_backoff { nanos: 2000000000 } }", "retry.max_backoff", "valid"},
    {Rpc::kFetch, "url: 'http://h/' retry { jitter: 9 }", "retry.jitter", "known"},
    {Rpc::kFetch, "url: 'http://h/' retry { retry_statuses: 503 retry_statuses: 399 }", "retry.retry_statuses", "399"},
    {Rpc::kFetch, "url: 'http://h/' retry { retry_statuses: 600 }", "retry.retry_statuses", "600"},
    {Rpc::kFetch, "url: 'http://h/' hedge { delay { seconds: -1 } }", "hedge.delay", "negative"},
    {Rpc::kFetch, "url: 'http://h/' expect_continue { seconds: -1 }", "expect_continue", "negative"},
    {Rpc::kFetch, "url: 'http://h/' expect_continue { seconds: 10 nanos: 1 }", "expect_continue", "longer than 10 s"},
    {Rpc::kFetch, "url: 'http://h/' priority: 4", "priority", "known"},
    {Rpc::kFetch, "url: 'http://h/' profile: 'none'", "profile", "profile of this server"},
    {Rpc::kStream, "request { url: 'http://h/' profile: 'none' }", "start.request.profile", "profile of this server"},
    {Rpc::kPaged, "request { url: 'http://h/' profile: 'none' } link_header {}", "request.profile", "profile"},
    {Rpc::kFetch, "url: 'http://h/' body_policy { on_overflow: 7 }", "body_policy.on_overflow", "known"},
    // Batch.
    {Rpc::kBatch, "", "requests", "at least one"},
    {Rpc::kBatch, "requests {} requests {} requests {} requests {}", "requests", "at most 3"},
    {Rpc::kBatch, "requests {} order: 9", "order", "known"},
    {Rpc::kBatch, "requests {} failure_mode: 9", "failure_mode", "known"},
    // Stream.
    {Rpc::kStream, "", "start.request.url", "required"},
    {Rpc::kStream, "request { url: 'nonsense' }", "start.request.url", ""},
    {Rpc::kStream, "request { url: 'http://h/' headers { name: 'te' } }", "start.request.headers[0].name", "itself"},
    {Rpc::kStream, "request { url: 'http://h/' body: 'x' } streams_body: true", "start.request.body", "empty"},
    {Rpc::kStream, "request { url: 'http://h/' } body_length: 5", "start.body_length", "streams_body"},
    // Paged.
    {Rpc::kPaged, "link_header {}", "request.url", "required"},
    {Rpc::kPaged, "request { url: 'http://h/' method: 'TRACE' } link_header {}", "request.method", "TRACE"},
    {Rpc::kPaged, "request { url: 'http://h/' }", "strategy", "one of"},
    {Rpc::kPaged, "request { url: 'http://h/' } next_url {}", "next_url.pointer", "required"},
    {Rpc::kPaged, "request { url: 'http://h/' } next_url { pointer: 'next' }", "next_url.pointer", ""},
    {Rpc::kPaged, "request { url: 'http://h/' } next_url { pointer: '/a~2' }", "next_url.pointer", ""},
    {Rpc::kPaged, "request { url: 'http://h/' } cursor { param: 'c' }", "cursor.source", "one of"},
    {Rpc::kPaged, "request { url: 'http://h/' } cursor { pointer: '/c' }", "cursor.param", "required"},
    {Rpc::kPaged, "request { url: 'http://h/' } cursor { pointer: '' param: 'c' }", "cursor.pointer", "required"},
    {Rpc::kPaged, "request { url: 'http://h/' } cursor { pointer: 'c' param: 'c' }", "cursor.pointer", ""},
    {Rpc::kPaged, "request { url: 'http://h/' } cursor { header: 'x y' param: 'c' }", "cursor.header", "token"},
    {Rpc::kPaged, "request { url: 'http://h/' } cursor { header: '' param: 'c' }", "cursor.header", "token"},
    {Rpc::kPaged, "request { url: 'http://h/' } offset { limit: 5 } items: ''", "offset.param", "required"},
    {Rpc::kPaged, "request { url: 'http://h/' } offset { param: 'o' }", "items", "offset"},
    {Rpc::kPaged, "request { url: 'http://h/' } page_number {} items: ''", "page_number.param", "required"},
    {Rpc::kPaged, "request { url: 'http://h/' } page_number { param: 'p' }", "items", "page_number"},
    {Rpc::kPaged, "request { url: 'http://h/' } link_header {} unit: UNIT_ITEM", "items", "UNIT_ITEM"},
    {Rpc::kPaged, "request { url: 'http://h/' } link_header {} max_items: 5", "items", "max_items"},
    {Rpc::kPaged, "request { url: 'http://h/' } link_header {} items: 'data'", "items", ""},
    {Rpc::kPaged, "request { url: 'http://h/' } link_header {} unit: 7", "unit", "known"},
    {Rpc::kPaged, "request { url: 'http://h/' } link_header {} resume_token: 'forged'", "resume_token", ""},
};

TEST_F(RequestReaderTest, NamesTheBadFieldOfEachBadRequest) {
  static_assert(std::size(kBadRows) >= 60);
  ReaderOptions options;
  options.max_batch_items = 3;
  const RequestReader reader = Reader(options);
  for (const BadRow& row : kBadRows) {
    std::string text = row.text;
    if (const size_t at = text.find("$long"); at != text.npos) text.replace(at, 5, std::string(16 * 1024 + 1, 'x'));
    SCOPED_TRACE(row.text);
    std::optional<Refusal> refusal;
    const auto keep = [&refusal](auto read) {
      if (auto* r = std::get_if<Refusal>(&read)) refusal = std::move(*r);
    };
    switch (row.rpc) {
      case Rpc::kFetch:
        keep(reader.ReadFetch(Parse<v1::FetchRequest>(text), Facts()));
        break;
      case Rpc::kBatch:
        keep(reader.ReadBatch(Parse<v1::FetchBatchRequest>(text), Facts()));
        break;
      case Rpc::kStream:
        keep(reader.ReadStreamStart(Parse<v1::FetchStreamStart>(text), Facts()));
        break;
      case Rpc::kPaged:
        keep(reader.ReadPaged(Parse<v1::FetchPagedRequest>(text), tokens_, Facts()));
        break;
    }
    ASSERT_TRUE(refusal.has_value());
    ASSERT_THAT(Fields(*refusal), ElementsAre(row.field));
    EXPECT_THAT(std::get<InvalidRequest>(*refusal).violations[0].description, HasSubstr(row.description));
    EXPECT_FALSE(std::get<InvalidRequest>(*refusal).violations[0].description.empty());
  }
}

TEST_F(RequestReaderTest, CollectsAllViolations) {
  auto read = Reader().ReadFetch(
      Parse<v1::FetchRequest>("method: 'A B' headers { name: 'host' value: ' x' } timeouts { total { seconds: -1 } "
                              "dns { seconds: -1 } } retry { max_attempts: 99 }"),
      Facts());
  EXPECT_THAT(Fields(std::get<Refusal>(read)), ElementsAre("url", "method", "headers[0].name", "headers[0].value",
                                                           "timeouts.total", "timeouts.dns", "retry.max_attempts"));
}

TEST_F(RequestReaderTest, RefusesTooManyHeadersOrTooLargeOnes) {
  v1::FetchRequest many;
  many.set_url("http://h/");
  for (int i = 0; i < 257; ++i) many.add_headers()->set_name("a");
  v1::FetchRequest large;
  large.set_url("http://h/");
  for (int i = 0; i < 5; ++i) {
    large.add_headers()->set_name("a");
    large.mutable_headers(i)->set_value(std::string(16 * 1024, 'x'));
  }
  for (const v1::FetchRequest& request : {many, large}) {
    auto read = Reader().ReadFetch(v1::FetchRequest(request), Facts());
    ASSERT_TRUE(std::holds_alternative<Refusal>(read));
    EXPECT_THAT(Fields(std::get<Refusal>(read)), ElementsAre("headers"));
  }
  // At the limits.
  many.mutable_headers()->RemoveLast();
  large.mutable_headers()->RemoveLast();
  large.mutable_headers(3)->mutable_value()->resize(16 * 1024 - 4);
  for (v1::FetchRequest* request : {&many, &large})
    EXPECT_TRUE(std::holds_alternative<FetchSpec>(Reader().ReadFetch(std::move(*request), Facts())));
}

TEST_F(RequestReaderTest, AWholeRequestIsJustAUrl) {
  const FetchSpec spec = Good(kUrl);
  EXPECT_EQ(spec.method, "GET");
  EXPECT_EQ(spec.url.text(), "http://h/");
  EXPECT_EQ(spec.caller, "tester");
  EXPECT_EQ(spec.id, "0000000000001234");
  EXPECT_EQ(spec.timeouts.total, seconds(30));
  EXPECT_EQ(spec.timeouts.attempt, seconds(10));
  EXPECT_EQ(spec.retry.max_attempts, 3);
  EXPECT_EQ(spec.retry.jitter, Jitter::kFull);
  EXPECT_EQ(spec.retry.statuses, RetryOptions().statuses);
  EXPECT_FALSE(spec.hedge.enabled);
  EXPECT_EQ(spec.priority, Priority::kNormal);
  EXPECT_EQ(spec.weight, 1U);
  EXPECT_EQ(spec.body_limit.max_bytes, 3'584U * 1024);
  EXPECT_FALSE(spec.body_limit.truncate);
  EXPECT_EQ(spec.deadline, clock_.Now() + seconds(30));
}

TEST_F(RequestReaderTest, CodingsAreAskedForAndUndoneUnlessTheCallerKnowsBetter) {
  const struct {
    const char* text;
    Decoding decoding;
  } rows[] = {
      {"", Decoding::kAskAndDecode},
      {"method: 'POST'", Decoding::kAskAndDecode},
      {"method: 'HEAD'", Decoding::kDecode},
      {"body_policy { coding: CODING_DECODE }", Decoding::kAskAndDecode},
      {"body_policy { coding: CODING_PASS_THROUGH }", Decoding::kPassThrough},
      {"headers { name: 'Accept-Encoding' value: 'gzip' }", Decoding::kPassThrough},
      {"headers { name: 'accept-encoding' } body_policy { coding: CODING_DECODE }", Decoding::kDecode},
      {"headers { name: 'Range' value: 'bytes=0-1' }", Decoding::kPassThrough},
      {"headers { name: 'range' value: 'bytes=0-1' } body_policy { coding: CODING_DECODE }", Decoding::kDecode},
  };
  for (const auto& row : rows)
    EXPECT_EQ(Good(Concat("url: 'http://h/' ", row.text)).decoding, row.decoding) << row.text;
}

TEST_F(RequestReaderTest, ReadsWhatIsExpectedAndSelected) {
  EXPECT_EQ(Good("url: 'http://h/'").contract, nullptr);
  ReaderOptions options;
  options.max_selected_body_bytes = 777;
  const FetchSpec spec = Good(
      "url: 'http://h/' expect { content_types: 'Application/JSON' content_types: 'text/*' content_types: '*/*' "
      "sha256: '00fF000000000000000000000000000000000000000000000000000000000001' digest: DIGEST_REQUIRE json: true } "
      "select: '' body_policy { max_bytes: 5 on_overflow: OVERFLOW_TRUNCATE }",
      options);
  ASSERT_NE(spec.contract, nullptr);
  const BodyContract& contract = *spec.contract;
  EXPECT_THAT(contract.content_types, ElementsAre("application/json", "text/*", "*/*"));
  ASSERT_TRUE(contract.sha256.has_value());
  EXPECT_EQ(contract.sha256->at(1), 0xff);
  EXPECT_EQ(contract.sha256->back(), 1);
  EXPECT_EQ(contract.digest, BodyContract::Digest::kRequire);
  EXPECT_TRUE(contract.json);
  EXPECT_EQ(contract.select, "");
  EXPECT_EQ(contract.max_held_bytes, 777u);
  // Of what is selected; of the body itself, the server's.
  EXPECT_EQ(contract.select_limit.max_bytes, 5u);
  EXPECT_TRUE(contract.select_limit.truncate);
  EXPECT_EQ(spec.body_limit.max_bytes, 777u);
  EXPECT_FALSE(spec.body_limit.truncate);
}

TEST_F(RequestReaderTest, MintsAKeyUnlessThereIsOne) {
  const FetchSpec spec = Good("url: 'http://h/' method: 'POST' retry { mint_idempotency_key: true }");
  const std::string key(spec.headers.Find("idempotency-key").value_or(""));
  EXPECT_THAT(key, testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_TRUE(IsIdempotent(spec.method, spec.headers, false));
  EXPECT_NE(*Good("url: 'http://h/' retry { mint_idempotency_key: true }").headers.Find("idempotency-key"), key);

  const FetchSpec own =
      Good("url: 'http://h/' headers { name: 'Idempotency-Key' value: 'mine' } retry { mint_idempotency_key: true }");
  EXPECT_EQ(own.headers.size(), 1U);
  EXPECT_EQ(own.headers.Find("idempotency-key"), "mine");
  EXPECT_FALSE(Good(kUrl).headers.Find("idempotency-key").has_value());
}

TEST_F(RequestReaderTest, TakesEveryFieldOfAFetch) {
  const FetchSpec spec = Good(R"(
      url: 'https://h:8443/p?q=1#f' method: 'patch' body: 'b\000dy'
      headers { name: 'X-A' value: '1' } headers { name: 'x-b' value: 'v\377' sensitive: true } headers { name: 'X-A' }
      timeouts { total { seconds: 20 } attempt { seconds: 9 } queue { seconds: 8 } dns { seconds: 7 } connect { seconds: 6 }
                 tls { seconds: 4 } send_idle { seconds: 3 } first_byte { seconds: 2 } between_bytes { nanos: 5 }
                 min_bytes_per_second: 77 }
      retry { max_attempts: 10 initial_backoff { nanos: 1000000 } max_backoff { seconds: 3 } idempotent: true }
      body_policy { max_bytes: 99 on_overflow: OVERFLOW_TRUNCATE })");
  EXPECT_EQ(spec.url.text(), "https://h:8443/p?q=1");
  EXPECT_EQ(spec.method, "patch");
  EXPECT_EQ(spec.body, std::string("b\0dy", 4));
  ASSERT_EQ(spec.headers.size(), 3U);
  EXPECT_EQ(spec.headers[0].name, "x-a");
  EXPECT_EQ(spec.headers[1].value, "v\377");
  EXPECT_TRUE(spec.headers[1].sensitive);
  EXPECT_EQ(spec.timeouts.total, seconds(20));
  EXPECT_EQ(spec.timeouts.attempt, seconds(9));
  EXPECT_EQ(spec.timeouts.queue, seconds(8));
  EXPECT_EQ(spec.timeouts.dns, seconds(7));
  EXPECT_EQ(spec.timeouts.connect, seconds(6));
  EXPECT_EQ(spec.timeouts.tls, seconds(4));
  EXPECT_EQ(spec.timeouts.send_idle, seconds(3));
  EXPECT_EQ(spec.timeouts.first_byte, seconds(2));
  EXPECT_EQ(spec.timeouts.between_bytes, std::chrono::nanoseconds(5));
  EXPECT_EQ(spec.timeouts.min_bytes_per_second, 77U);
  EXPECT_EQ(spec.retry.max_attempts, 10);
  EXPECT_EQ(spec.retry.initial_backoff, milliseconds(1));
  EXPECT_EQ(spec.retry.max_backoff, seconds(3));
  EXPECT_TRUE(spec.retry.idempotent);
  EXPECT_EQ(spec.body_limit.max_bytes, 99U);
  EXPECT_TRUE(spec.body_limit.truncate);
}

TEST_F(RequestReaderTest, LowersToTheServersCaps) {
  PolicyRules rules;
  rules.timeout_caps.total = seconds(60);
  rules.timeout_caps.tls = seconds(1);
  const PolicySource policies(std::make_shared<const PolicyBook>(std::move(rules)));
  ReaderOptions options;
  options.policies = &policies;
  options.max_unary_body_bytes = 1000;
  const FetchSpec spec = Good(
      "url: 'http://h/' timeouts { total { seconds: 315576000000 } tls { seconds: 2 } } body_policy { max_bytes: 1001 "
      "}",
      options);
  EXPECT_EQ(spec.timeouts.total, seconds(60));
  EXPECT_EQ(spec.timeouts.tls, seconds(1));
  EXPECT_EQ(spec.body_limit.max_bytes, 1000U);
}

TEST_F(RequestReaderTest, ZeroTimeoutsTakeTheDefault) {
  const FetchSpec spec = Good("url: 'http://h/' timeouts { total {} dns { seconds: 0 nanos: 0 } } retry {}");
  EXPECT_EQ(spec.timeouts.total, seconds(30));
  EXPECT_EQ(spec.timeouts.dns, seconds(5));
  EXPECT_EQ(spec.retry.max_attempts, 3);
}

TEST_F(RequestReaderTest, TheEarlierOfTotalAndRpcDeadlineWins) {
  EXPECT_EQ(Good(kUrl, {}, clock_.Now() + seconds(3)).deadline, clock_.Now() + seconds(3));
  EXPECT_EQ(Good(kUrl, {}, clock_.Now() + seconds(300)).deadline, clock_.Now() + seconds(30));
}

TEST_F(RequestReaderTest, AnswersFiftyMillisecondsOrFivePercentBeforeTheRpcDeadline) {
  const Instant now = clock_.Now();
  EXPECT_EQ(AnswerBy(now, now + seconds(10)), now + seconds(10) - milliseconds(50));
  EXPECT_EQ(AnswerBy(now, now + milliseconds(100)), now + milliseconds(95));
  EXPECT_EQ(AnswerBy(now, now - seconds(1)), now - seconds(1));
  EXPECT_EQ(AnswerBy(now, kNever), kNever);
}

TEST_F(RequestReaderTest, AStreamHasNoTimeLimitsOfItsOwn) {
  auto read = Reader().ReadStreamStart(Parse<v1::FetchStreamStart>("request { url: 'http://h/' }"), Facts());
  const auto& spec = std::get<StreamSpec>(read);
  EXPECT_EQ(spec.fetch.timeouts.total, kForever);
  EXPECT_EQ(spec.fetch.timeouts.attempt, kForever);
  EXPECT_EQ(spec.fetch.timeouts.first_byte, seconds(10));
  EXPECT_EQ(spec.fetch.deadline, kNever);
  EXPECT_EQ(spec.fetch.body_limit.max_bytes, BodyLimit::kUnlimited);
  EXPECT_FALSE(spec.streams_body);

  read = Reader().ReadStreamStart(
      Parse<v1::FetchStreamStart>("request { url: 'http://h/' timeouts { total { seconds: 5 } attempt { seconds: 4 } } "
                                  "body_policy { max_bytes: 9999999999 } } streams_body: true body_length: 0"),
      Facts(clock_.Now() + seconds(9)));
  const auto& limited = std::get<StreamSpec>(read);
  EXPECT_EQ(limited.fetch.timeouts.attempt, seconds(4));
  EXPECT_EQ(limited.fetch.deadline, clock_.Now() + seconds(5));
  EXPECT_EQ(limited.fetch.body_limit.max_bytes, 9'999'999'999U);
  EXPECT_EQ(limited.body_length, 0U);
}

TEST_F(RequestReaderTest, ReadsABatch) {
  ReaderOptions options;
  options.batch_concurrency = 2;
  const auto read = [&](const char* text) {
    return std::get<BatchSpec>(Reader(options).ReadBatch(Parse<v1::FetchBatchRequest>(text), Facts()));
  };
  BatchSpec spec = read("requests {} requests {} requests {}");
  EXPECT_EQ(spec.items, 3U);
  EXPECT_EQ(spec.max_concurrency, 2U);
  EXPECT_FALSE(spec.input_order);
  EXPECT_FALSE(spec.fail_fast);
  EXPECT_EQ(spec.deadline, kNever);
  spec = read(
      "requests {} requests {} order: ORDER_INPUT failure_mode: FAILURE_MODE_FAIL_FAST max_concurrency: 4000000000");
  EXPECT_EQ(spec.max_concurrency, 2U);
  EXPECT_TRUE(spec.input_order);
  EXPECT_TRUE(spec.fail_fast);

  v1::FetchBatchRequest large;
  for (int i = 0; i < 2000; ++i) large.add_requests();
  large.set_max_concurrency(1500);
  EXPECT_EQ(std::get<BatchSpec>(Reader().ReadBatch(large, Facts())).max_concurrency, 1000U);
}

TEST_F(RequestReaderTest, ABadItemOfABatchIsAResult) {
  const auto read = [&](const char* text) {
    return std::get<ItemFailure>(Reader().ReadBatchItem(Parse<v1::FetchRequest>(text), 3, Facts()));
  };
  const ItemFailure malformed = read("url: 'nonsense' method: 'A B'");
  EXPECT_EQ(malformed.failure.code, FailureCode::kRequestInvalid);
  EXPECT_EQ(malformed.failure.phase, Phase::kPolicy);
  EXPECT_EQ(malformed.failure.processed, Processed::kNo);
  EXPECT_THAT(malformed.failure.detail, HasSubstr("requests[3].url: "));
  EXPECT_THAT(malformed.failure.detail, HasSubstr("requests[3].method: "));
  const ItemFailure forbidden = read("url: 'http://10.0.0.1/?secret=1'");
  EXPECT_EQ(forbidden.failure.code, FailureCode::kHttpRequestDenied);
  EXPECT_EQ(forbidden.redacted_url, "http://10.0.0.1/?secret=*");
  const ItemFailure scheme = read("url: 'ftp://h/'");
  EXPECT_EQ(scheme.failure.code, FailureCode::kHttpRequestDenied);
}

TEST_F(RequestReaderTest, ForbiddenUrlsArePermissionDeniedAndMalformedOnesComeFirst) {
  for (const char* text : {"url: 'http://10.0.0.1/'", "url: 'file:///etc/passwd'"}) {
    auto read = Reader().ReadFetch(Parse<v1::FetchRequest>(text), Facts());
    EXPECT_EQ(std::get<UrlForbidden>(std::get<Refusal>(read)).violation.field, "url");
  }
  auto read = Reader().ReadFetch(Parse<v1::FetchRequest>("url: 'http://10.0.0.1/' method: 'A B'"), Facts());
  EXPECT_THAT(Fields(std::get<Refusal>(read)), ElementsAre("method"));
}

TEST_F(RequestReaderTest, ReadsAList) {
  ReaderOptions options;
  options.max_pages = 50;
  const auto read = [&](const std::string& text) {
    return std::get<PagedSpec>(
        Reader(options).ReadPaged(Parse<v1::FetchPagedRequest>("request { url: 'http://h/' } " + text), tokens_,
                                  Facts(clock_.Now() + seconds(5))));
  };
  PagedSpec spec = read("link_header {}");
  EXPECT_EQ(std::get<LinkHeaderPaging>(spec.rules.strategy).rel, "next");
  EXPECT_EQ(spec.rules.max_pages, 50U);
  EXPECT_EQ(spec.unit, PagedUnit::kPage);
  EXPECT_EQ(spec.deadline, clock_.Now() + seconds(5));
  EXPECT_FALSE(spec.items);
  EXPECT_FALSE(spec.resume);
  spec =
      read("next_url { pointer: '/n' } items: '' unit: UNIT_ITEM max_pages: 51 max_items: 7 allow_other_origins: true");
  EXPECT_EQ(std::get<NextUrlPaging>(spec.rules.strategy).pointer, "/n");
  EXPECT_EQ(spec.items, "");
  EXPECT_EQ(spec.unit, PagedUnit::kItem);
  EXPECT_EQ(spec.rules.max_pages, 50U);
  EXPECT_EQ(spec.rules.max_items, 7U);
  EXPECT_TRUE(spec.rules.allow_other_origins);
  spec = read("cursor { header: 'X-Next' param: 'c' drop_other_params: true } max_pages: 3");
  EXPECT_EQ(std::get<CursorPaging>(spec.rules.strategy).header, "x-next");
  EXPECT_TRUE(std::get<CursorPaging>(spec.rules.strategy).drop_other_params);
  EXPECT_EQ(spec.rules.max_pages, 3U);
  spec = read("offset { param: 'o' start: 5 limit: 10 limit_param: 'l' } items: '/d'");
  EXPECT_EQ(std::get<OffsetPaging>(spec.rules.strategy).limit, 10U);
  spec = read("page_number { param: 'p' start: 0 page_size: 3 } items: '/d'");
  EXPECT_EQ(std::get<PageNumberPaging>(spec.rules.strategy).start, 0U);
  spec = read("page_number { param: 'p' } items: '/d'");
  EXPECT_EQ(std::get<PageNumberPaging>(spec.rules.strategy).start, 1U);
}

TEST_F(RequestReaderTest, ResumesOnlyTheSameRequestOfTheSameCaller) {
  const auto request = [](const std::string& url, const std::string& token) {
    v1::FetchPagedRequest r;
    r.mutable_request()->set_url(url);
    r.mutable_link_header();
    r.set_resume_token(token);
    return r;
  };
  const auto fresh = std::get<PagedSpec>(Reader().ReadPaged(request("http://h/", ""), tokens_, Facts()));
  PagingState state = InitialPagingState(fresh.rules);
  state.next = "http://h/?page=2";
  state.pages = 1;
  const std::string token = tokens_.Seal(state, "tester", PagedRequestHash(fresh), clock_.WallNow());
  const auto resumed = std::get<PagedSpec>(Reader().ReadPaged(request("http://h/", token), tokens_, Facts()));
  ASSERT_TRUE(resumed.resume);
  EXPECT_EQ(resumed.resume->next, state.next);

  auto other_request = Reader().ReadPaged(request("http://h/other", token), tokens_, Facts());
  EXPECT_THAT(Fields(std::get<Refusal>(other_request)), ElementsAre("resume_token"));
  RpcFacts stranger = Facts();
  stranger.caller = "stranger";
  auto other_caller = Reader().ReadPaged(request("http://h/", token), tokens_, stranger);
  EXPECT_THAT(Fields(std::get<Refusal>(other_caller)), ElementsAre("resume_token"));
}

TEST(FetchIdsTest, AreSixteenHexadecimalDigitsAndDistinct) {
  FetchIds ids;
  const std::string first = ids.Next();
  EXPECT_EQ(first.size(), 16U);
  EXPECT_EQ(first.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(first, ids.Next());
}

TEST_F(RequestReaderTest, RedirectsAndSessionAreOffByDefault) {
  EXPECT_EQ(Good(kUrl).hops, nullptr);
  EXPECT_EQ(Good("url: 'http://h/' redirects { mode: MODE_NONE max_redirects: 5 }").hops, nullptr);
  const FetchSpec follow = Good("url: 'http://h/' redirects { mode: MODE_FOLLOW }");
  ASSERT_NE(follow.hops, nullptr);
  EXPECT_EQ(follow.hops->mode, RedirectMode::kFollow);
  EXPECT_EQ(follow.hops->max_redirects, 10);
  EXPECT_EQ(follow.hops->session, "");
  const FetchSpec session =
      Good("url: 'http://h/' session: 's' redirects { mode: MODE_SAME_ORIGIN max_redirects: 20 }");
  ASSERT_NE(session.hops, nullptr);
  EXPECT_EQ(session.hops->mode, RedirectMode::kSameOrigin);
  EXPECT_EQ(session.hops->max_redirects, 20);
  EXPECT_EQ(Good("url: 'http://h/' session: 's'").hops->session, "s");
}

TEST_F(RequestReaderTest, PagesAreNotRedirectedWhereTheyMayNotLead) {
  const auto mode = [&](const std::string& more) {
    auto read =
        Reader().ReadPaged(Parse<v1::FetchPagedRequest>(
                               "request { url: 'http://h/' redirects { mode: MODE_FOLLOW } } link_header {} " + more),
                           tokens_, Facts());
    return std::get<PagedSpec>(read).request.hops->mode;
  };
  EXPECT_EQ(mode(""), RedirectMode::kSameOrigin);
  EXPECT_EQ(mode("allow_other_origins: true"), RedirectMode::kFollow);
}

}  // namespace
}  // namespace fetchd::server
