// How exchanges end early: by timeouts, stops and failing I/O.
#include <gtest/gtest.h>

#include <string>

#include "exchange_fixture.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
