#include "http/h2_exchange.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/request_head.h"
#include "support/h2_origin.h"
#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One fetch on the session.
class Fetch final : public HeadJudge {
 public:
  Fetch(Loop& loop, std::string_view url)
      : sink(loop.executor()), scope(loop.clock(), loop.timers(), kNever, FailureCode::kTotalTimeout) {
    spec.url = *Url::Parse(url);
  }
  ResponseSink& OnHead(const ResponseHead&) override { return sink; }
  bool ok() const { return result && !result->failure; }
  FailureCode code() const { return result->failure->code; }

  FetchSpec spec;
  MemorySink sink;
  CancelScope scope;
  std::optional<ExchangeResult> result;
};

class H2ExchangeTest : public testing::Test, public H2Session::Owner {
 protected:
  // Many tests need small windows.
  void Open(H2Options options = {}, uint32_t max_streams = 100) {
    peer_ = std::make_shared<ScriptedPeer>(loop_.executor());
    transport_ = std::make_unique<ScriptedTransport>(peer_);
    origin_ = std::make_unique<H2Origin>(peer_, max_streams);
    session_ = std::make_unique<H2Session>(options, *transport_, scratch_, loop_.executor(), loop_.clock(),
                                           loop_.timers(), *this);
    session_->Start();
  }
  // Until neither side has anything to say.
  void Settle() {
    do loop_.Poll();
    while (origin_->Pump());
  }
  Fetch& Begin(std::string_view url = "https://a.test/path?q", RequestBody* body = nullptr,
               std::string_view method = "GET") {
    Fetch& fetch = fetches_.emplace_back(loop_, url);
    fetch.spec.method = method;
    return Start(fetch, body);
  }
  Fetch& Start(Fetch& fetch, RequestBody* body = nullptr) {
    loop_.Start(RunH2Exchange(*session_, loop_.executor(),
                              {.spec = fetch.spec, .body = body, .judge = fetch, .limits = limits_}, fetch.scope),
                fetch.result);
    Settle();
    return fetch;
  }
  void TearDown() override {
    if (session_ == nullptr) return;
    for (Fetch& fetch : fetches_)
      if (!fetch.result) fetch.scope.Cancel(FailureCode::kCancelled);
    Settle();
    EXPECT_EQ(session_->streams(), 0u);
    session_->Retire();
    Settle();
    loop_.Advance(seconds(1));
    Settle();
    EXPECT_TRUE(over_);
    EXPECT_TRUE(peer_->closed());
    session_.reset();
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }
  void OnSessionChanged(H2Session&) override { ++changes_; }
  void OnSessionOver(H2Session&) override { over_ = true; }

  FakeClock clock_;
  Loop loop_{clock_};
  HttpLimits limits_;
  std::vector<char> scratch_ = std::vector<char>(64 * 1024);
  std::shared_ptr<ScriptedPeer> peer_;
  std::unique_ptr<ScriptedTransport> transport_;
  std::unique_ptr<H2Origin> origin_;
  std::unique_ptr<H2Session> session_;
  std::deque<Fetch> fetches_;
  int changes_ = 0;
  bool over_ = false;
};

TEST_F(H2ExchangeTest, ARequestHasItsFieldsAndTheResponseComesWhole) {
  Open();
  Fetch& fetch = fetches_.emplace_back(loop_, "https://a.test:8443/path?q=1");
  fetch.spec.headers.Add("x-one", "1");
  fetch.spec.headers.Add("connection", "close");
  fetch.spec.headers.Add("te", "gzip");
  Start(fetch);
  const auto& fields = origin_->streams()[1].fields;
  EXPECT_EQ(fields.at(":method"), "GET");
  EXPECT_EQ(fields.at(":scheme"), "https");
  EXPECT_EQ(fields.at(":authority"), "a.test:8443");
  EXPECT_EQ(fields.at(":path"), "/path?q=1");
  EXPECT_EQ(fields.at("x-one"), "1");
  EXPECT_EQ(fields.at("user-agent"), kUserAgent);
  EXPECT_FALSE(fields.contains("connection"));
  EXPECT_FALSE(fields.contains("te"));
  EXPECT_TRUE(origin_->streams()[1].complete);
  origin_->Respond(1, "201", "hello", {{"content-length", "5"}, {"x-two", "2"}});
  Settle();
  ASSERT_TRUE(fetch.ok());
  EXPECT_EQ(fetch.sink.head().status, 201);
  EXPECT_EQ(fetch.sink.head().content_length, 5u);
  EXPECT_EQ(fetch.sink.head().headers.Find("x-two"), "2");
  EXPECT_EQ(fetch.sink.body(), "hello");
  EXPECT_EQ(fetch.result->response_bytes, 5u);
}

TEST_F(H2ExchangeTest, ManyStreamsAnswerInAnyOrder) {
  Open();
  Fetch &a = Begin(), &b = Begin(), &c = Begin();
  EXPECT_EQ(session_->streams(), 3u);
  origin_->Respond(5, "200", "c");
  Settle();
  EXPECT_TRUE(c.ok());
  EXPECT_FALSE(a.result);
  origin_->Respond(1, "200", "a");
  origin_->Respond(3, "204", "");
  Settle();
  EXPECT_EQ(a.sink.body() + b.sink.body() + c.sink.body(), "ac");
  EXPECT_TRUE(b.ok());
}

TEST_F(H2ExchangeTest, InterimResponsesAreSkippedAndTrailersKept) {
  Open();
  Fetch& fetch = Begin();
  origin_->Head(1, "103", {{"link", "</x>"}}, true);
  origin_->streams()[1].trailers_follow = true;
  origin_->Respond(1, "200", "body");
  Settle();
  origin_->Trailers(1, {{"x-sum", "7"}});
  Settle();
  ASSERT_TRUE(fetch.ok());
  EXPECT_EQ(fetch.sink.heads(), 1);
  EXPECT_FALSE(fetch.sink.head().headers.Has("link"));
  EXPECT_EQ(fetch.result->trailers.Find("x-sum"), "7");
}

TEST_F(H2ExchangeTest, TooManyInterimResponses) {
  Open();
  limits_.max_interim_responses = 2;
  Fetch& fetch = Begin();
  for (int i = 0; i < 3; ++i) origin_->Head(1, "103", {}, true);
  Settle();
  EXPECT_EQ(fetch.code(), FailureCode::kHttpProtocolError);
  EXPECT_EQ(origin_->streams()[1].closed_by, uint32_t{NGHTTP2_CANCEL});
}

// The window of a stream opens only as its caller takes bytes, and that of the connection lets others go on.
TEST_F(H2ExchangeTest, WhoDoesNotReadIsSentNoMoreThanAWindow) {
  Open({.stream_window = 100'000});
  Fetch& slow = fetches_.emplace_back(loop_, "https://a.test/");
  slow.sink.SetCredit(0);
  Start(slow);
  const std::string body(1'000'000, 'x');
  origin_->Respond(1, "200", body);
  Settle();
  EXPECT_TRUE(slow.sink.starved());
  EXPECT_EQ(origin_->streams()[1].sent, 100'000u);
  Fetch& other = Begin();
  origin_->Respond(3, "200", body);
  Settle();
  EXPECT_TRUE(other.ok());
  EXPECT_EQ(other.sink.body().size(), body.size());
  slow.sink.GiveCredit(60'000);
  Settle();
  EXPECT_EQ(slow.sink.body().size(), 60'000u);
  EXPECT_EQ(origin_->streams()[1].sent, 160'000u);
  // No timeout runs while the caller is waited for.
  loop_.Advance(seconds(30));
  EXPECT_FALSE(slow.result);
  slow.sink.GiveCredit(UINT32_MAX);
  Settle();
  ASSERT_TRUE(slow.ok());
  EXPECT_EQ(slow.sink.body(), body);
}

TEST_F(H2ExchangeTest, ACancelResetsItsStreamAloneAndLosesNoWindow) {
  Open({.stream_window = 50'000, .connection_window = 70'000});
  for (int i = 0; i < 20; ++i) {
    Fetch& cut = fetches_.emplace_back(loop_, "https://a.test/");
    cut.sink.SetCredit(10);
    Start(cut);
    const int32_t id = origin_->streams().rbegin()->first;
    origin_->Respond(id, "200", std::string(60'000, 'x'));
    Settle();
    cut.scope.Cancel(FailureCode::kCancelled);
    Settle();
    ASSERT_TRUE(cut.result);
    EXPECT_EQ(cut.code(), FailureCode::kCancelled);
    EXPECT_EQ(origin_->streams()[id].closed_by, uint32_t{NGHTTP2_CANCEL});
  }
  Fetch& fetch = Begin();
  origin_->Respond(41, "200", std::string(300'000, 'y'));
  Settle();
  ASSERT_TRUE(fetch.ok());
  EXPECT_EQ(fetch.sink.body().size(), 300'000u);
}

TEST_F(H2ExchangeTest, ARefusedStreamWasNotProcessed) {
  Open();
  Fetch& post = Begin("https://a.test/", nullptr, "POST");
  origin_->Reset(1, NGHTTP2_REFUSED_STREAM);
  Settle();
  EXPECT_EQ(post.code(), FailureCode::kHttp2StreamRefused);
  EXPECT_EQ(post.result->failure->processed, Processed::kNo);
  EXPECT_TRUE(post.result->failure->reused_connection);
  EXPECT_TRUE(session_->usable());
}

TEST_F(H2ExchangeTest, AResetStreamMayHaveBeenProcessed) {
  Open();
  Fetch& a = Begin();
  origin_->Reset(1, NGHTTP2_INTERNAL_ERROR);
  Settle();
  EXPECT_EQ(a.code(), FailureCode::kHttp2StreamReset);
  EXPECT_EQ(a.result->failure->processed, Processed::kMaybe);
  Fetch& b = Begin();
  origin_->Head(3, "200", {}, true);
  Settle();
  origin_->Reset(3, NGHTTP2_CANCEL);
  Settle();
  EXPECT_EQ(b.code(), FailureCode::kHttp2StreamReset);
  EXPECT_EQ(b.result->failure->processed, Processed::kYes);
}

TEST_F(H2ExchangeTest, SmallFramesOfTwoStreamsAndAResetInOneRead) {
  Open();
  Fetch &a = Begin(), &b = Begin();
  origin_->Head(1, "200", {}, true);
  origin_->Head(3, "200", {}, true);
  Settle();
  std::string frames;
  for (const std::string piece : {"1", "2", "3"}) {
    frames += H2Origin::Frame(NGHTTP2_DATA, 0, 1, "a" + piece);
    frames += H2Origin::Frame(NGHTTP2_DATA, 0, 1, "A" + piece);
    frames += H2Origin::Frame(NGHTTP2_DATA, 0, 3, "b" + piece);
  }
  frames += H2Origin::Frame(NGHTTP2_RST_STREAM, 0, 1, std::string({0, 0, 0, NGHTTP2_CANCEL}));
  frames += H2Origin::Frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 3, "!");
  peer_->Send(std::move(frames));
  Settle();
  EXPECT_EQ(a.code(), FailureCode::kHttp2StreamReset);
  EXPECT_EQ(a.sink.body(), "a1A1a2A2a3A3");
  EXPECT_EQ(a.result->response_bytes, 12u);
  EXPECT_TRUE(b.ok());
  EXPECT_EQ(b.sink.body(), "b1b2b3!");
}

TEST_F(H2ExchangeTest, AGoAwayEndsWhatItDidNotSee) {
  Open();
  Fetch &seen = Begin(), &unseen = Begin();
  origin_->GoAway(1);
  Settle();
  EXPECT_FALSE(session_->usable());
  EXPECT_EQ(session_->capacity(), 0u);
  ASSERT_TRUE(unseen.result);
  EXPECT_EQ(unseen.code(), FailureCode::kHttp2StreamRefused);
  EXPECT_EQ(unseen.result->failure->processed, Processed::kNo);
  EXPECT_FALSE(seen.result);
  origin_->Respond(1, "200", "x");
  Settle();
  EXPECT_TRUE(seen.ok());
  Fetch& late = Begin();
  EXPECT_EQ(late.code(), FailureCode::kHttp2StreamRefused);
  EXPECT_EQ(late.result->failure->processed, Processed::kNo);
}

TEST_F(H2ExchangeTest, AnOriginMayWantHttp1) {
  Open();
  Fetch& fetch = Begin();
  origin_->Reset(1, NGHTTP2_HTTP_1_1_REQUIRED);
  Settle();
  EXPECT_EQ(fetch.code(), FailureCode::kHttpVersionNotAvailable);
  EXPECT_EQ(fetch.result->failure->processed, Processed::kNo);
  EXPECT_TRUE(session_->wants_http1());
  EXPECT_FALSE(session_->usable());
}

TEST_F(H2ExchangeTest, WhatIsNotHttp2WasNotUnderstood) {
  Open();
  origin_.reset();
  Fetch& fetch = fetches_.emplace_back(loop_, "https://a.test/");
  loop_.Start(
      RunH2Exchange(*session_, loop_.executor(), {.spec = fetch.spec, .judge = fetch, .limits = limits_}, fetch.scope),
      fetch.result);
  peer_->Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  loop_.Poll();
  ASSERT_TRUE(fetch.result);
  EXPECT_EQ(fetch.code(), FailureCode::kHttp2ProtocolError);
  EXPECT_EQ(fetch.result->failure->processed, Processed::kNo);
  EXPECT_TRUE(session_->wants_http1());
  origin_ = std::make_unique<H2Origin>(std::make_shared<ScriptedPeer>(loop_.executor()));
}

TEST_F(H2ExchangeTest, TheConnectionsEndIsTheEndOfAll) {
  Open();
  Fetch &a = Begin(), &b = Begin();
  origin_->Head(3, "200", {}, true);
  Settle();
  peer_->End(IoResult::Kind::kReset);
  Settle();
  EXPECT_EQ(a.code(), FailureCode::kConnectionTerminated);
  EXPECT_EQ(a.result->failure->processed, Processed::kMaybe);
  EXPECT_EQ(b.code(), FailureCode::kHttpResponseIncomplete);
  EXPECT_EQ(b.result->failure->processed, Processed::kYes);
  EXPECT_TRUE(over_);
}

TEST_F(H2ExchangeTest, ASilentOriginIsAskedByPing) {
  Open();
  Fetch& fetch = fetches_.emplace_back(loop_, "https://a.test/");
  fetch.spec.timeouts.first_byte = seconds(100);
  Start(fetch);
  loop_.Advance(seconds(10));
  EXPECT_TRUE(origin_->Pump());  // the PING
  Settle();
  EXPECT_FALSE(fetch.result);
  // Now it says nothing any more.
  loop_.Advance(seconds(10));
  EXPECT_FALSE(fetch.result);
  loop_.Advance(seconds(5));
  ASSERT_TRUE(fetch.result);
  EXPECT_EQ(fetch.code(), FailureCode::kConnectionTerminated);
}

TEST_F(H2ExchangeTest, SettingsMustCome) {
  peer_ = std::make_shared<ScriptedPeer>(loop_.executor());
  transport_ = std::make_unique<ScriptedTransport>(peer_);
  origin_ = std::make_unique<H2Origin>(std::make_shared<ScriptedPeer>(loop_.executor()));
  session_ = std::make_unique<H2Session>(H2Options{}, *transport_, scratch_, loop_.executor(), loop_.clock(),
                                         loop_.timers(), *this);
  session_->Start();
  loop_.Poll();
  EXPECT_GT(session_->capacity(), 0u);
  loop_.Advance(seconds(5));
  EXPECT_EQ(session_->failure()->code, FailureCode::kHttp2ProtocolError);
}

TEST_F(H2ExchangeTest, FloodsEndTheConnection) {
  struct Row {
    const char* name;
    uint8_t type, flags;
    int32_t id;
    std::string payload;
  };
  const Row rows[] = {
      {"ping", NGHTTP2_PING, 0, 0, std::string(8, 'p')},
      {"settings", NGHTTP2_SETTINGS, 0, 0, ""},
      {"empty data", NGHTTP2_DATA, 0, 1, ""},
      {"padding", NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, std::string("\3abc", 4)},
      {"window update", NGHTTP2_WINDOW_UPDATE, 0, 0, std::string("\0\0\0\1", 4)},
      {"priority", NGHTTP2_PRIORITY, 0, 3, std::string("\0\0\0\0\1", 5)},
      {"unknown", 0x77, 0, 0, std::string(16'000, 'x')},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Open();
    over_ = false;
    Fetch& fetch = Begin();
    origin_->Head(1, "200", {}, true);
    Settle();
    for (int i = 0; i < 1100 && !fetch.result; ++i) {
      origin_->Raw(row.type, row.flags, row.id, row.payload);
      loop_.Poll();
    }
    ASSERT_TRUE(fetch.result);
    EXPECT_EQ(fetch.code(), FailureCode::kHttp2Flood) << fetch.result->failure->detail;
    Settle();
    EXPECT_TRUE(over_);
    session_.reset();
  }
}

TEST_F(H2ExchangeTest, OffencesAreAnsweredThoughReadingNeverWaits) {
  Open();
  Fetch& fetch = Begin();
  origin_->Head(1, "200", {}, true);
  Settle();
  // All there at once. After the offence nothing that comes is looked at any more, which must not look like a flood.
  for (size_t sent = 0; sent < 3 * H2Options{}.connection_window; sent += 16'000)
    origin_->Raw(NGHTTP2_DATA, 0, 1, std::string(16'000, 'x'));
  loop_.Poll();
  ASSERT_TRUE(fetch.result);
  EXPECT_EQ(fetch.code(), FailureCode::kHttp2ProtocolError) << fetch.result->failure->detail;
}

TEST_F(H2ExchangeTest, PaddedDataIsNoFlood) {
  Open();
  Fetch& fetch = Begin();
  origin_->Head(1, "200", {}, true);
  Settle();
  for (int i = 0; i < 3000; ++i) {
    origin_->Raw(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, std::string("\3zabc", 5));
    loop_.Poll();
  }
  origin_->Raw(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_END_STREAM, 1, std::string("\3abc", 4));
  Settle();
  ASSERT_TRUE(fetch.ok());
  EXPECT_EQ(fetch.sink.body(), std::string(3000, 'z'));
}

TEST_F(H2ExchangeTest, HonestFramesAreNoFlood) {
  Open();
  Settle();
  // A PING every second for an hour.
  for (int i = 0; i < 3600; ++i) {
    origin_->Raw(NGHTTP2_PING, 0, 0, "12345678");
    loop_.Advance(seconds(1));
    Settle();
  }
  EXPECT_TRUE(session_->usable());
}

TEST_F(H2ExchangeTest, CapsOnFields) {
  Open();
  limits_.max_header_count = 3;
  Fetch& count = Begin();
  origin_->Head(1, "200", {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}});
  Settle();
  EXPECT_EQ(count.code(), FailureCode::kHttpResponseHeaderSize);
  limits_ = {};
  Fetch& size = Begin();
  H2Origin::Fields many;
  limits_.max_head_bytes = 10'000;
  for (int i = 0; i < 3; ++i) many.emplace_back("x", std::string(4000, 'x'));
  origin_->Head(3, "200", many);
  Settle();
  EXPECT_EQ(size.code(), FailureCode::kHttpResponseHeaderSectionSize);
  Fetch& fine = Begin();
  origin_->Head(5, "200", {{"x", std::string(4000, 'x')}});
  Settle();
  EXPECT_TRUE(fine.ok());
}

TEST_F(H2ExchangeTest, BodyLimits) {
  Open();
  for (const bool truncate : {false, true}) {
    for (const size_t size : {9u, 10u, 11u}) {
      Fetch& fetch = fetches_.emplace_back(loop_, "https://a.test/");
      fetch.spec.body_limit = {.max_bytes = 10, .truncate = truncate};
      Start(fetch);
      origin_->Respond(origin_->streams().rbegin()->first, "200", std::string(size, 'x'));
      Settle();
      ASSERT_TRUE(fetch.result);
      EXPECT_EQ(fetch.ok(), truncate || size <= 10) << size;
      EXPECT_EQ(fetch.result->truncated, truncate && size > 10) << size;
      EXPECT_EQ(fetch.sink.body().size(), std::min<size_t>(size, 10));
    }
  }
}

TEST_F(H2ExchangeTest, ABodyOfAnotherLengthThanAnnounced) {
  for (const char* announced : {"4", "6"}) {
    Open();
    over_ = false;
    Fetch& fetch = Begin();
    origin_->Respond(1, "200", "12345", {{"content-length", announced}});
    Settle();
    ASSERT_TRUE(fetch.result);
    ASSERT_FALSE(fetch.ok());
    EXPECT_EQ(fetch.code(), FailureCode::kHttp2ProtocolError) << announced;
    session_->Retire();
    Settle();
    loop_.Advance(seconds(1));
    ASSERT_TRUE(over_);
    session_.reset();
  }
}

TEST_F(H2ExchangeTest, AStreamedBodyGoesOutAsItCome) {
  Open();
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  Fetch& fetch = Begin("https://a.test/", &body, "POST");
  body.Feed("one ");
  Settle();
  EXPECT_EQ(origin_->streams()[1].body, "one ");
  body.Feed("two");
  body.End();
  Settle();
  EXPECT_EQ(origin_->streams()[1].body, "one two");
  EXPECT_TRUE(origin_->streams()[1].complete);
  origin_->Respond(1, "200", "ok");
  Settle();
  EXPECT_TRUE(fetch.ok());
  EXPECT_EQ(fetch.result->request_bytes, 7u);
}

TEST_F(H2ExchangeTest, AStreamedBodyHasTheAnnouncedLength) {
  for (const std::string_view sent : {"12345", "1234567"}) {
    Open();
    over_ = false;
    MemoryRequestBody body(loop_.executor(), 6);
    Fetch& fetch = Begin("https://a.test/", &body, "POST");
    body.Feed(sent);
    body.End();
    Settle();
    ASSERT_TRUE(fetch.result);
    EXPECT_EQ(fetch.code(), FailureCode::kHttpRequestBodySize);
    EXPECT_EQ(origin_->streams()[1].closed_by, uint32_t{NGHTTP2_CANCEL});
    session_->Retire();
    Settle();
    loop_.Advance(seconds(1));
    ASSERT_TRUE(over_);
    session_.reset();
  }
}

TEST_F(H2ExchangeTest, AnEarlyResponseEndsTheUpload) {
  Open();
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  Fetch& fetch = Begin("https://a.test/", &body, "POST");
  body.Feed("some");
  Settle();
  origin_->Respond(1, "413", "too large");
  Settle();
  ASSERT_TRUE(fetch.ok());
  EXPECT_EQ(fetch.sink.head().status, 413);
  EXPECT_EQ(origin_->streams()[1].closed_by, uint32_t{NGHTTP2_CANCEL});
}

TEST_F(H2ExchangeTest, ABodyMayWaitForContinue) {
  Open();
  Settle();
  for (const bool continued : {true, false}) {
    Fetch& fetch = fetches_.emplace_back(loop_, "https://a.test/");
    fetch.spec.method = "PUT";
    fetch.spec.body = "body";
    fetch.spec.expect_continue = seconds(1);
    Start(fetch);
    const int32_t id = origin_->streams().rbegin()->first;
    EXPECT_EQ(origin_->streams()[id].fields.at("expect"), "100-continue");
    loop_.Advance(milliseconds(900));
    Settle();
    EXPECT_EQ(origin_->streams()[id].body, "");
    if (continued)
      origin_->Head(id, "100", {}, true);
    else
      loop_.Advance(milliseconds(100));
    Settle();
    EXPECT_EQ(origin_->streams()[id].body, "body");
    origin_->Respond(id, "200", "x");
    Settle();
    EXPECT_TRUE(fetch.ok());
  }
  // Who refuses is not sent the body.
  Fetch& refused = fetches_.emplace_back(loop_, "https://a.test/");
  refused.spec.method = "PUT";
  refused.spec.body = "body";
  refused.spec.expect_continue = seconds(1);
  Start(refused);
  origin_->Respond(5, "413", "too large");
  Settle();
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused.sink.head().status, 413);
  EXPECT_EQ(origin_->streams()[5].body, "");
}

TEST_F(H2ExchangeTest, TimeoutsOfThePhases) {
  Open();
  Fetch& silent = Begin();
  loop_.Advance(seconds(10));
  ASSERT_TRUE(silent.result);
  EXPECT_EQ(silent.code(), FailureCode::kHttpResponseTimeout);
  EXPECT_EQ(silent.result->failure->phase, Phase::kWait);
  Settle();
  Fetch& stuck = Begin();
  origin_->Head(3, "200", {}, true);
  Settle();
  loop_.Advance(seconds(10));
  ASSERT_TRUE(stuck.result);
  EXPECT_EQ(stuck.code(), FailureCode::kConnectionReadTimeout);
  EXPECT_EQ(stuck.result->failure->phase, Phase::kReceive);
  Settle();
  EXPECT_TRUE(session_->usable());
}

TEST_F(H2ExchangeTest, CapacityFollowsTheOrigin) {
  Open({}, 7);
  EXPECT_EQ(session_->capacity(), 16u);
  EXPECT_EQ(session_->expected_capacity(), 100u);
  Settle();
  EXPECT_EQ(session_->capacity(), 7u);
  EXPECT_EQ(session_->expected_capacity(), 7u);
  origin_->Settings(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000);
  Settle();
  EXPECT_EQ(session_->capacity(), 100u);
  origin_->Settings(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
  Settle();
  EXPECT_EQ(session_->capacity(), 0u);
  EXPECT_TRUE(session_->usable());
}

TEST_F(H2ExchangeTest, ARetiredSessionSaysGoodBye) {
  Open();
  Fetch& last = Begin();
  session_->Retire();
  Settle();
  EXPECT_FALSE(over_);
  origin_->Respond(1, "200", "x");
  Settle();
  EXPECT_TRUE(last.ok());
  EXPECT_TRUE(over_);
  EXPECT_EQ(origin_->goaway(), NGHTTP2_NO_ERROR);
}

// Whatever fails, and wherever, nothing is left behind.
TEST_F(H2ExchangeTest, AnyFailingOperationEndsEverything) {
  for (int n = 1; n < 12; ++n) {
    SCOPED_TRACE(n);
    Open({.stream_window = 70'000});
    over_ = false;
    peer_->FailAtOperation(n);
    Fetch &a = Begin(), &b = Begin();
    origin_->Respond(1, "200", std::string(100'000, 'x'));
    Settle();
    origin_->Respond(3, "200", "y");
    Settle();
    for (int i = 0; i < 4; ++i) {
      loop_.Advance(seconds(10));
      Settle();
    }
    EXPECT_TRUE(a.result && b.result);
    session_->Retire();
    Settle();
    loop_.Advance(seconds(1));
    ASSERT_TRUE(over_);
    session_.reset();
  }
}

}  // namespace
}  // namespace fetchd::server
