#include "http/exchange.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "support/loop.h"
#include "support/memory_sink.h"
#include "support/scripted_transport.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ExchangeTest : public testing::Test, public HeadJudge {
 protected:
  ExchangeTest() { Reset(); }

  void Reset() {
    if (result_ || !started_) {
      peer_ = std::make_shared<ScriptedPeer>(loop_.executor());
      transport_ = std::make_unique<ScriptedTransport>(peer_);
      sink_ = std::make_unique<MemorySink>(loop_.executor());
      scope_ = std::make_unique<CancelScope>(loop_.clock(), loop_.timers(), kNever, FailureCode::kTotalTimeout);
      buffer_ = {};
      result_.reset();
      spec_ = {};
      spec_.url = *Url::Parse("http://example.com/path");
      started_ = false;
    }
  }

  ResponseSink& OnHead(const ResponseHead&) override { return *sink_; }

  void Start(RequestBody* body = nullptr) {
    started_ = true;
    loop_.Start(
        RunExchange(*transport_, buffer_, loop_.executor(),
                    {.spec = spec_, .body = body, .judge = *this, .limits = limits_, .reused_connection = reused_},
                    *scope_),
        result_);
    loop_.Poll();
  }

  void ExpectOk(bool reusable) {
    ASSERT_TRUE(result_.has_value());
    EXPECT_FALSE(result_->failure.has_value()) << result_->failure->detail;
    EXPECT_EQ(result_->reusable, reusable);
  }
  void ExpectFailure(FailureCode code, Phase phase, Processed processed) {
    ASSERT_TRUE(result_.has_value());
    ASSERT_TRUE(result_->failure.has_value());
    const Failure& f = *result_->failure;
    EXPECT_EQ(f.code, code) << ToString(f.code) << ": " << f.detail;
    EXPECT_EQ(f.phase, phase) << ToString(f.phase);
    EXPECT_EQ(f.processed, processed) << ToString(f.processed);
    EXPECT_FALSE(f.detail.empty());
    EXPECT_FALSE(result_->reusable);
  }

  FakeClock clock_;
  Loop loop_{clock_};
  HttpLimits limits_;
  FetchSpec spec_;
  bool reused_ = false;
  bool started_ = false;
  std::shared_ptr<ScriptedPeer> peer_;
  std::unique_ptr<ScriptedTransport> transport_;
  ReadBuffer buffer_;
  std::unique_ptr<MemorySink> sink_;
  std::unique_ptr<CancelScope> scope_;
  std::optional<ExchangeResult> result_;
};

const std::string kGet = "GET /path HTTP/1.1\r\nhost: example.com\r\nuser-agent: fetchd/0.1\r\naccept: */*\r\n\r\n";

TEST_F(ExchangeTest, RequestAndResponseInOneWriteAndOneRead) {
  peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello");
  Start();
  ExpectOk(true);
  EXPECT_EQ(peer_->received(), kGet);
  EXPECT_EQ(peer_->operations(), 2);
  EXPECT_EQ(sink_->head().status, 200);
  EXPECT_EQ(sink_->head().content_length, 5u);
  EXPECT_EQ(sink_->body(), "hello");
  EXPECT_EQ(result_->response_bytes, 5u);
  EXPECT_TRUE(result_->phases.send && result_->phases.wait && result_->phases.receive);
}

TEST_F(ExchangeTest, HeadAndSmallBodyGoInOneWrite) {
  spec_.method = "POST";
  spec_.body = "a=b";
  peer_->Send("HTTP/1.1 204 No Content\r\n\r\n");
  Start();
  ExpectOk(true);
  EXPECT_EQ(peer_->operations(), 2);
  EXPECT_TRUE(peer_->received().ends_with("\r\ncontent-length: 3\r\n\r\na=b"));
  EXPECT_EQ(result_->request_bytes, 3u);
}

TEST_F(ExchangeTest, EachFramingEndsWhereItShould) {
  struct Row {
    std::string method, response;
    bool close, reusable;
    std::string body;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const Row& row : {
           Row{"GET", ok + "Content-Length: 3\r\n\r\nabc", false, true, "abc"},
           Row{"GET", ok + "Content-Length: 0\r\n\r\n", false, true, ""},
           Row{"GET", ok + "Content-Length: 3\r\nConnection: close\r\n\r\nabc", false, false, "abc"},
           Row{"GET", ok + "Content-Length: 3\r\n\r\nabcdef", false, false, "abc"},
           Row{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", false, true, "abcde"},
           Row{"GET", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nX", false, false, "abc"},
           Row{"GET", ok + "\r\nto the end", true, false, "to the end"},
           Row{"GET", ok + "\r\n", true, false, ""},
           Row{"GET", "HTTP/1.0 200 OK\r\n\r\nold", true, false, "old"},
           Row{"HEAD", ok + "Content-Length: 3\r\n\r\n", false, true, ""},
           Row{"HEAD", ok + "Transfer-Encoding: chunked\r\n\r\n", false, true, ""},
           Row{"GET", "HTTP/1.1 204 N\r\n\r\n", false, true, ""},
           Row{"GET", "HTTP/1.1 304 N\r\nContent-Length: 3\r\n\r\n", false, true, ""},
           Row{"GET", "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 404 N\r\nContent-Length: 1\r\n\r\nx", false, true, "x"},
       }) {
    for (size_t pieces : {size_t{1}, row.response.size()}) {
      Reset();
      spec_.method = row.method;
      size_t step = pieces == 1 ? row.response.size() : 1;
      for (size_t at = 0; at < row.response.size(); at += step) peer_->Send(row.response.substr(at, step));
      if (row.close) peer_->End();
      Start();
      ASSERT_TRUE(result_.has_value()) << row.response;
      EXPECT_FALSE(result_->failure.has_value()) << row.response;
      // Byte by byte the leftovers are seen by the pool's liveness check, not by the exchange.
      if (pieces == 1) {
        EXPECT_EQ(result_->reusable, row.reusable) << row.response;
      }
      EXPECT_EQ(sink_->body(), row.body) << row.response;
      EXPECT_EQ(sink_->heads(), 1);
    }
  }
}

TEST_F(ExchangeTest, KnownLengthIsReadStraightIntoTheSink) {
  peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(10, 'a'));
  peer_->Send(std::string(999990, 'b'));
  sink_->LimitBuffers(400000);
  Start();
  ExpectOk(true);
  EXPECT_EQ(sink_->body().size(), 1000000u);
  // One write, the head, and three reads of what was left.
  EXPECT_EQ(peer_->operations(), 5);
  EXPECT_EQ(buffer_.capacity(), ReadBuffer::kInitial);
}

TEST_F(ExchangeTest, TrailersComeWithTheResult) {
  peer_->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: abc\r\n\r\n");
  Start();
  ExpectOk(true);
  EXPECT_EQ(result_->trailers.Find("digest"), "abc");
}

TEST_F(ExchangeTest, WithoutCreditNothingIsRead) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (const std::string& response :
       {ok + "Content-Length: 8\r\n\r\nabcdefgh", ok + "Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n0\r\n\r\n",
        ok + "\r\nabcdefgh"}) {
    Reset();
    spec_.timeouts.between_bytes = seconds(2);
    spec_.timeouts.min_bytes_per_second = 1;
    sink_->SetCredit(3);
    size_t half = response.find("abcdefgh") + 5;
    peer_->Send(response.substr(0, half));
    peer_->Send(response.substr(half));
    peer_->End();
    Start();
    EXPECT_EQ(sink_->body(), "abc");
    EXPECT_TRUE(sink_->starved());
    EXPECT_FALSE(peer_->drained());
    // The caller's own time counts for no timeout.
    loop_.Advance(seconds(3600));
    EXPECT_FALSE(result_.has_value());
    sink_->GiveCredit(4);
    loop_.Poll();
    EXPECT_EQ(sink_->body(), "abcdefg");
    sink_->GiveCredit(1000);
    loop_.Poll();
    ASSERT_TRUE(result_.has_value());
    EXPECT_FALSE(result_->failure.has_value()) << result_->failure->detail;
    EXPECT_EQ(sink_->body(), "abcdefgh");
  }
}

TEST_F(ExchangeTest, SendIdleTimeout) {
  spec_.method = "PUT";
  spec_.body = std::string(1000, 'x');
  spec_.timeouts.send_idle = seconds(3);
  peer_->BlockWritesAfter(500);
  Start();
  loop_.Advance(seconds(3) - milliseconds(1));
  EXPECT_FALSE(result_.has_value());
  loop_.Advance(milliseconds(1));
  ExpectFailure(FailureCode::kConnectionWriteTimeout, Phase::kSend, Processed::kMaybe);
}

TEST_F(ExchangeTest, SendIdleTimeoutBeforeAnyByteIsNotProcessed) {
  spec_.timeouts.send_idle = seconds(3);
  peer_->BlockWritesAfter(0);
  Start();
  loop_.Advance(seconds(3));
  ExpectFailure(FailureCode::kConnectionWriteTimeout, Phase::kSend, Processed::kNo);
}

TEST_F(ExchangeTest, ProgressOfWritingRestartsSendIdle) {
  spec_.method = "PUT";
  spec_.body = std::string(100, 'x');
  spec_.timeouts.send_idle = seconds(3);
  peer_->BlockWritesAfter(50);
  Start();
  loop_.Advance(seconds(2));
  peer_->BlockWritesAfter(50);
  peer_->AllowWrites();
  loop_.Poll();
  peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  loop_.Advance(seconds(2));
  ExpectOk(true);
}

TEST_F(ExchangeTest, FirstByteTimeoutRunsFromTheLastByteSent) {
  spec_.timeouts.first_byte = seconds(4);
  Start();
  loop_.Advance(seconds(4) - milliseconds(1));
  EXPECT_FALSE(result_.has_value());
  loop_.Advance(milliseconds(1));
  ExpectFailure(FailureCode::kHttpResponseTimeout, Phase::kWait, Processed::kMaybe);
}

TEST_F(ExchangeTest, InterimResponsesDoNotStopTheFirstByteTimeout) {
  spec_.timeouts.first_byte = seconds(4);
  Start();
  loop_.Advance(seconds(3));
  peer_->Send("HTTP/1.1 102 Proc");
  loop_.Poll();
  peer_->Send("essing\r\n\r\n");
  loop_.Poll();
  loop_.Advance(seconds(1));
  ExpectFailure(FailureCode::kHttpResponseTimeout, Phase::kWait, Processed::kMaybe);
  EXPECT_FALSE(result_->failure->reused_connection);
}

TEST_F(ExchangeTest, BetweenBytesTimeoutInTheHeadAndInTheBody) {
  for (std::string part :
       {"HTTP/1.1 200 OK\r\nX", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "HTTP/1.1 200 OK\r\n\r\nabc"}) {
    Reset();
    spec_.timeouts.between_bytes = seconds(2);
    Start();
    loop_.Advance(seconds(5));
    for (char c : part) {
      peer_->Send(std::string(1, c));
      loop_.Poll();
      loop_.Advance(milliseconds(1999));
    }
    EXPECT_FALSE(result_.has_value()) << part;
    loop_.Advance(milliseconds(1));
    ExpectFailure(FailureCode::kConnectionReadTimeout, Phase::kReceive, Processed::kYes);
  }
}

TEST_F(ExchangeTest, MinimumRateIsAskedOfEachFiveSeconds) {
  spec_.timeouts.min_bytes_per_second = 10;
  peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  Start();
  for (int i = 0; i < 3; ++i) {
    loop_.Advance(seconds(4));
    peer_->Send(std::string(50, 'x'));
    loop_.Poll();
    loop_.Advance(seconds(1));
  }
  EXPECT_FALSE(result_.has_value());
  peer_->Send(std::string(49, 'x'));
  loop_.Poll();
  loop_.Advance(seconds(5) - milliseconds(1));
  EXPECT_FALSE(result_.has_value());
  loop_.Advance(milliseconds(1));
  ExpectFailure(FailureCode::kMinRateTimeout, Phase::kReceive, Processed::kYes);
}

TEST_F(ExchangeTest, ScopeStopsEndItWithTheReasonInEachPhase) {
  Start();
  scope_->Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ExpectFailure(FailureCode::kCancelled, Phase::kWait, Processed::kMaybe);
  Reset();
  peer_->BlockWritesAfter(10);
  scope_->SetDeadline(clock_.Now() + seconds(1));
  Start();
  loop_.Advance(seconds(1));
  ExpectFailure(FailureCode::kTotalTimeout, Phase::kSend, Processed::kMaybe);
  Reset();
  peer_->Send("HTTP/1.1 200 OK\r\n\r\n");
  scope_->SetDeadline(clock_.Now() + seconds(1));
  Start();
  loop_.Advance(seconds(1));
  ExpectFailure(FailureCode::kTotalTimeout, Phase::kReceive, Processed::kYes);
}

TEST_F(ExchangeTest, ABrokenReusedConnectionIsSaidToBeOne) {
  for (auto kind : {IoResult::Kind::kEof, IoResult::Kind::kReset, IoResult::Kind::kTruncatedTls}) {
    Reset();
    reused_ = true;
    peer_->End(kind);
    Start();
    ExpectFailure(FailureCode::kConnectionTerminated, Phase::kWait, Processed::kMaybe);
    EXPECT_TRUE(result_->failure->reused_connection);
  }
  Reset();
  peer_->FailWrites(IoResult::Kind::kReset);
  peer_->End(IoResult::Kind::kReset);
  Start();
  ExpectFailure(FailureCode::kConnectionTerminated, Phase::kSend, Processed::kNo);
  EXPECT_TRUE(result_->failure->reused_connection);
  Reset();
  peer_->Send("HTTP/1.1 2");
  peer_->End();
  Start();
  ExpectFailure(FailureCode::kHttpResponseIncomplete, Phase::kReceive, Processed::kYes);
  EXPECT_FALSE(result_->failure->reused_connection);
}

TEST_F(ExchangeTest, CutResponsesAreIncomplete) {
  for (std::string part : {"H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n"}) {
    Reset();
    peer_->Send(part);
    peer_->End();
    Start();
    ExpectFailure(FailureCode::kHttpResponseIncomplete, Phase::kReceive, Processed::kYes);
  }
}

TEST_F(ExchangeTest, ATlsStreamCutShortDoesNotEndABody) {
  peer_->Send("HTTP/1.1 200 OK\r\n\r\nabc");
  peer_->End(IoResult::Kind::kTruncatedTls);
  Start();
  ExpectFailure(FailureCode::kHttpResponseIncomplete, Phase::kReceive, Processed::kYes);
  EXPECT_EQ(sink_->body(), "abc");
}

TEST_F(ExchangeTest, BodyLimitFailsOrTruncates) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  struct Row {
    std::string response;
    std::string got;  // when it fails
  };
  for (const Row& row : {Row{ok + "Content-Length: 6\r\n\r\nabcdef", ""},
                         Row{ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", "abcde"},
                         Row{ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n", "abcde"},
                         Row{ok + "\r\nabcdef", "abcde"}}) {
    for (size_t step : {row.response.size(), size_t{1}}) {
      for (bool truncate : {false, true}) {
        Reset();
        spec_.body_limit = {.max_bytes = 5, .truncate = truncate};
        for (size_t at = 0; at < row.response.size(); at += step) peer_->Send(row.response.substr(at, step));
        peer_->End();
        Start();
        EXPECT_EQ(sink_->heads(), 1);
        if (truncate) {
          ExpectOk(false);
          EXPECT_TRUE(result_->truncated) << row.response;
          EXPECT_EQ(sink_->body(), "abcde") << row.response;
        } else {
          ExpectFailure(FailureCode::kHttpResponseBodySize, Phase::kReceive, Processed::kYes);
          EXPECT_EQ(sink_->body(), row.got) << row.response;
        }
      }
    }
  }
}

TEST_F(ExchangeTest, ABodyAsLargeAsItsLimitIsWhole) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  for (std::string response : {ok + "Content-Length: 5\r\n\r\nabcde",
                               ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", ok + "\r\nabcde"}) {
    for (bool truncate : {false, true}) {
      Reset();
      spec_.body_limit = {.max_bytes = 5, .truncate = truncate};
      peer_->Send(response);
      peer_->End();
      Start();
      ASSERT_TRUE(result_.has_value());
      EXPECT_FALSE(result_->failure.has_value()) << response;
      EXPECT_FALSE(result_->truncated) << response;
      EXPECT_EQ(sink_->body(), "abcde");
    }
  }
}

TEST_F(ExchangeTest, StreamedBodyChunked) {
  spec_.method = "POST";
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  body.Feed("hello");
  Start(&body);
  EXPECT_TRUE(peer_->received().ends_with("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")) << peer_->received();
  // However long the caller takes, it is not the origin's fault.
  loop_.Advance(seconds(3600));
  body.Feed("0123456789abcdef!");
  loop_.Poll();
  body.End();
  loop_.Poll();
  EXPECT_TRUE(peer_->received().ends_with("\r\n\r\n5\r\nhello\r\n11\r\n0123456789abcdef!\r\n0\r\n\r\n"));
  EXPECT_FALSE(result_.has_value());
  peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  loop_.Poll();
  ExpectOk(true);
  EXPECT_EQ(result_->request_bytes, 22u);
}

TEST_F(ExchangeTest, StreamedBodyOverShortWrites) {
  for (size_t limit : {1, 2, 3, 7, 64}) {
    for (std::optional<uint64_t> length : {std::optional<uint64_t>(), std::optional<uint64_t>(8)}) {
      Reset();
      spec_.method = "POST";
      MemoryRequestBody body(loop_.executor(), length);
      peer_->LimitWrites(limit);
      body.Feed("abc");
      Start(&body);
      body.Feed("defgh");
      body.End();
      loop_.Poll();
      std::string tail =
          length ? "content-length: 8\r\n\r\nabcdefgh" : "chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n";
      EXPECT_TRUE(peer_->received().ends_with(tail)) << limit << peer_->received();
      peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      loop_.Poll();
      ExpectOk(true);
    }
  }
}

TEST_F(ExchangeTest, StreamedBodyOfAnotherLengthFails) {
  for (std::string fed : {"abc", "abcdef"}) {
    Reset();
    spec_.method = "POST";
    MemoryRequestBody body(loop_.executor(), 5);
    Start(&body);
    body.Feed(fed);
    body.End();
    loop_.Poll();
    ExpectFailure(FailureCode::kHttpRequestBodySize, Phase::kSend, Processed::kMaybe);
  }
}

TEST_F(ExchangeTest, ACallerThatBreaksOffTheBodyCancels) {
  spec_.method = "POST";
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  body.Feed("abc");
  Start(&body);
  body.Break();
  loop_.Poll();
  ExpectFailure(FailureCode::kCancelled, Phase::kSend, Processed::kMaybe);
}

TEST_F(ExchangeTest, AnEarlyResponseEndsTheExchangeAtOnce) {
  spec_.method = "POST";
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  body.Feed("abc");
  Start(&body);
  peer_->Send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  loop_.Poll();
  ExpectOk(false);
  EXPECT_EQ(sink_->head().status, 413);
  EXPECT_EQ(sink_->body(), "no");
}

TEST_F(ExchangeTest, ALargeBodyIsRefusedWhileItIsSent) {
  spec_.method = "PUT";
  spec_.body = std::string(100000, 'x');
  peer_->BlockWritesAfter(1000);
  Start();
  EXPECT_FALSE(result_.has_value());
  peer_->Send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
  loop_.Poll();
  ExpectOk(false);
}

TEST_F(ExchangeTest, AResponseIsReadAlthoughSendingBroke) {
  spec_.method = "PUT";
  spec_.body = std::string(100000, 'x');
  peer_->BlockWritesAfter(1000);
  Start();
  peer_->FailWrites(IoResult::Kind::kReset);
  loop_.Poll();
  EXPECT_FALSE(result_.has_value());
  peer_->Send("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
  loop_.Poll();
  ExpectOk(false);
  EXPECT_EQ(sink_->head().status, 400);
}

TEST_F(ExchangeTest, AnEchoWhileSendingIsDeliveredAsItComes) {
  spec_.method = "POST";
  spec_.timeouts.between_bytes = seconds(1);
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  Start(&body);
  peer_->Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 3; ++i) {
    body.Feed("abc");
    loop_.Poll();
    peer_->Send("3\r\nabc\r\n");
    loop_.Poll();
    // The origin waits for us here, not we for it.
    loop_.Advance(seconds(100));
  }
  EXPECT_EQ(sink_->body(), "abcabcabc");
  body.End();
  loop_.Poll();
  loop_.Advance(milliseconds(999));
  EXPECT_FALSE(result_.has_value());
  loop_.Advance(milliseconds(1));
  ExpectFailure(FailureCode::kConnectionReadTimeout, Phase::kReceive, Processed::kYes);
}

TEST_F(ExchangeTest, ALineBreakInTheRequestSendsNothing) {
  spec_.headers.Add("x", "a\r\nhost: evil");
  Start();
  ExpectFailure(FailureCode::kInternal, Phase::kSend, Processed::kNo);
  EXPECT_EQ(peer_->received(), "");
}

TEST_F(ExchangeTest, HostileRepliesCloseTheConnection) {
  peer_->Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx");
  Start();
  ExpectFailure(FailureCode::kHttpProtocolError, Phase::kReceive, Processed::kYes);
  EXPECT_EQ(sink_->heads(), 0);
}

// Makes each I/O operation fail in turn, until the exchange succeeds.
TEST_F(ExchangeTest, WhicheverOperationFailsItEndsOnceAndIsNotReused) {
  int n = 1;
  for (;; ++n) {
    ASSERT_LT(n, 100);
    Reset();
    spec_.method = "POST";
    MemoryRequestBody body(loop_.executor(), std::nullopt);
    peer_->LimitWrites(20);
    peer_->FailAtOperation(n);
    body.Feed("hello hello hello hello hello");
    body.End();
    for (std::string piece : {"HTTP/1.1 100 C\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-", "Encoding: chunked\r\n\r\n",
                              "3\r\nabc\r\n", "0\r\n", "\r\n"})
      peer_->Send(piece);
    Start(&body);
    ASSERT_TRUE(result_.has_value()) << n;
    if (!result_->failure && result_->reusable) break;
  }
  EXPECT_GT(n, 8);
}

// Stops the scope at each moment at which the exchange waits.
TEST_F(ExchangeTest, StoppedAtAnyAwaitItEndsAtOnce) {
  const std::string response =
      "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (size_t stop = 0; stop <= response.size() + 4; ++stop) {
    Reset();
    spec_.method = "POST";
    MemoryRequestBody body(loop_.executor(), std::nullopt);
    sink_->SetCredit(0);
    size_t step = 0;
    auto at_stop = [&] {
      if (step++ != stop) return false;
      scope_->Cancel(FailureCode::kCancelled);
      loop_.Poll();
      return true;
    };
    Start(&body);
    bool stopped = at_stop();
    body.Feed("abc");
    loop_.Poll();
    stopped = stopped || at_stop();
    for (char c : response) {
      if (stopped) break;
      peer_->Send(std::string(1, c));
      loop_.Poll();
      stopped = at_stop();
    }
    if (!stopped) {
      sink_->GiveCredit(1);
      loop_.Poll();
      stopped = at_stop();
    }
    if (!stopped) {
      sink_->GiveCredit(100);
      loop_.Poll();
      stopped = at_stop();
    }
    ASSERT_TRUE(result_.has_value()) << stop;
    if (result_->failure) {
      EXPECT_EQ(result_->failure->code, FailureCode::kCancelled);
    }
    EXPECT_FALSE(result_->reusable);
    EXPECT_EQ(loop_.timers().armed(), 0u);
  }
}

}  // namespace
}  // namespace fetchd::server
