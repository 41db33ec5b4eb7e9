#include <gtest/gtest.h>

#include <string>

#include "exchange_fixture.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
  ExpectFailure(FailureCode::kTlsTruncated, Phase::kReceive, Processed::kYes);
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
  ExpectFailure(FailureCode::kHttpContentLengthConflict, Phase::kReceive, Processed::kYes);
  EXPECT_EQ(sink_->heads(), 0);
}

// Makes each I/O operation fail in turn, until the exchange succeeds.
// Stops the scope at each moment at which the exchange waits.
}  // namespace
}  // namespace fetchd::server
