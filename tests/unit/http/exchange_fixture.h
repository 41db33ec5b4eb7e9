// An exchange on a scripted peer, in fake time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "http/exchange.h"
#include "support/loop.h"
#include "support/memory_sink.h"
#include "support/scripted_transport.h"

namespace fetchd::server {

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

}  // namespace fetchd::server
