// Bodies that are held back for 100 (Continue), and origins that speak before they are asked.
#include <gtest/gtest.h>

#include <string>

#include "unit/http/exchange_fixture.h"

namespace fetchd::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

class ContinueTest : public ExchangeTest {
 protected:
  void Begin(RequestBody* body = nullptr) {
    spec_.method = "POST";
    if (body == nullptr) spec_.body = "the body";
    spec_.expect_continue = seconds(1);
    Start(body);
  }
  bool HeadWasSent() const { return peer_->received().find("\r\n\r\n") != std::string::npos; }
  bool BodyWasSent() const { return !peer_->received().ends_with("\r\n\r\n"); }
};

TEST_F(ContinueTest, TheBodyGoesWhenTheOriginAsksForIt) {
  Begin();
  EXPECT_TRUE(HeadWasSent());
  EXPECT_NE(peer_->received().find("\r\nexpect: 100-continue\r\n"), std::string::npos) << peer_->received();
  EXPECT_FALSE(BodyWasSent());
  loop_.Advance(milliseconds(999));
  EXPECT_FALSE(BodyWasSent());
  peer_->Send(kContinue);
  loop_.Poll();
  EXPECT_TRUE(peer_->received().ends_with("\r\n\r\nthe body"));
  peer_->Send(kOk);
  loop_.Poll();
  ExpectOk(true);
  EXPECT_EQ(result_->request_bytes, 8u);
}

TEST_F(ContinueTest, TheBodyGoesWhenTheWaitIsOver) {
  Begin();
  loop_.Advance(milliseconds(999));
  EXPECT_FALSE(BodyWasSent());
  loop_.Advance(milliseconds(1));
  EXPECT_TRUE(peer_->received().ends_with("the body"));
  // 100 (Continue) may still come.
  peer_->Send(kContinue + kOk);
  loop_.Poll();
  ExpectOk(true);
}

TEST_F(ContinueTest, OtherInterimResponsesDoNotReleaseTheBody) {
  Begin();
  peer_->Send("HTTP/1.1 103 Early Hints\r\n\r\n");
  loop_.Poll();
  EXPECT_FALSE(BodyWasSent());
  peer_->Send(kContinue);
  loop_.Poll();
  EXPECT_TRUE(BodyWasSent());
  peer_->Send(kOk);
  loop_.Poll();
  ExpectOk(true);
}

TEST_F(ContinueTest, AFinalResponseMeansThatTheBodyIsNeverSent) {
  for (const std::string status : {"417 Expectation Failed", "413 Content Too Large", "401 Unauthorized", "200 OK"}) {
    Reset();
    Begin();
    peer_->Send("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\n");
    loop_.Poll();
    loop_.Advance(seconds(2));
    EXPECT_FALSE(result_.has_value());
    EXPECT_FALSE(BodyWasSent());
    peer_->Send("no");
    loop_.Poll();
    // Nobody knows whether the origin waits for a body, so the connection is closed (RFC 9112 section 9.3).
    ExpectOk(false);
    EXPECT_EQ(result_->request_bytes, 0u);
    EXPECT_FALSE(BodyWasSent());
  }
}

TEST_F(ContinueTest, TheResponseToABodyThatStaysHasItsTimeouts) {
  spec_.timeouts.between_bytes = seconds(3);
  Begin();
  peer_->Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n");
  loop_.Poll();
  loop_.Advance(seconds(3));
  ExpectFailure(FailureCode::kConnectionReadTimeout, Phase::kReceive, Processed::kYes);
}

TEST_F(ContinueTest, AStreamedBodyIsNotReadWhileItIsHeld) {
  MemoryRequestBody body(loop_.executor(), std::nullopt);
  body.Feed("abc");
  Begin(&body);
  EXPECT_FALSE(BodyWasSent());
  peer_->Send(kContinue);
  loop_.Poll();
  EXPECT_TRUE(peer_->received().ends_with("\r\n\r\n3\r\nabc\r\n"));
  body.End();
  loop_.Poll();
  peer_->Send(kOk);
  loop_.Poll();
  ExpectOk(true);
}

TEST_F(ContinueTest, WithoutABodyNothingIsExpected) {
  spec_.method = "POST";
  spec_.expect_continue = seconds(1);
  Start();
  EXPECT_EQ(peer_->received().find("expect"), std::string::npos);
  peer_->Send(kOk);
  loop_.Poll();
  ExpectOk(true);
}

TEST_F(ContinueTest, AStopEndsTheWait) {
  Begin();
  scope_->Cancel(FailureCode::kCancelled);
  loop_.Poll();
  ExpectFailure(FailureCode::kCancelled, Phase::kSend, Processed::kMaybe);
}

TEST_F(ContinueTest, AnOriginThatClosesInsteadIsTerminated) {
  Begin();
  peer_->End();
  loop_.Poll();
  ExpectFailure(FailureCode::kConnectionTerminated, Phase::kSend, Processed::kMaybe);
}

TEST_F(ExchangeTest, WhatANewConnectionBringsUnaskedIsNoResponse) {
  peer_->SetAlive(false);
  peer_->Send(kOk);
  Start();
  ExpectFailure(FailureCode::kHttpUnsolicitedResponse, Phase::kSend, Processed::kNo);
  EXPECT_EQ(peer_->received(), "");
  EXPECT_EQ(sink_->heads(), 0);
}

TEST_F(ExchangeTest, ANewConnectionThatEndsUnaskedTookNothing) {
  peer_->SetAlive(false);
  peer_->End();
  Start();
  ExpectFailure(FailureCode::kConnectionTerminated, Phase::kSend, Processed::kNo);
  EXPECT_EQ(peer_->received(), "");
}

TEST_F(ExchangeTest, TlsThatIsCutIsTruncated) {
  for (const std::string head :
       {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}) {
    Reset();
    peer_->Send(head);
    peer_->End(IoResult::Kind::kTruncatedTls);
    Start();
    ExpectFailure(FailureCode::kTlsTruncated, Phase::kReceive, Processed::kYes);
  }
}

}  // namespace
}  // namespace fetchd::server
