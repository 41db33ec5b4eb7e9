#include "fetch/body_chain.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <memory>
#include <string>

#include "model/body_contract.h"
#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

std::string Gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

class BodyChainTest : public testing::Test {
 protected:
  BodyChainTest() { spec_.decoding = Decoding::kAskAndDecode; }

  BodyContract& Contract() {
    auto contract = std::make_shared<BodyContract>();
    BodyContract& made = *contract;
    spec_.contract = std::move(contract);
    return made;
  }

  void Begin(std::initializer_list<std::pair<const char*, const char*>> fields, int status = 200,
             std::optional<uint64_t> length = std::nullopt) {
    chain_.emplace(spec_, caller_, held_);
    ResponseHead head;
    head.status = status;
    head.content_length = length;
    for (const auto& [name, value] : fields) head.headers.Add(name, value);
    chain_->OnHead(std::move(head));
  }
  void Feed(std::string_view bytes) {
    while (!bytes.empty() && chain_->refusal() == nullptr) {
      const std::span<char> room = chain_->Prepare(bytes.size());
      if (room.empty()) return;
      std::memcpy(room.data(), bytes.data(), room.size());
      chain_->Commit(room.size());
      bytes.remove_prefix(room.size());
    }
  }
  AttemptOutcome Finish(AttemptOutcome result = {}) {
    if (chain_->working()) loop_.Run(chain_->Finish(loop_.scope(), result));
    return result;
  }

  Loop loop_;
  SharedCell held_;
  FetchSpec spec_;
  MemorySink caller_{loop_.executor()};
  std::optional<BodyChain> chain_;
};

TEST_F(BodyChainTest, NothingToDoIsNothingInTheWay) {
  spec_.decoding = Decoding::kPassThrough;
  chain_.emplace(spec_, caller_, held_);
  EXPECT_EQ(&chain_->sink(), &caller_);

  spec_.decoding = Decoding::kAskAndDecode;
  Begin({{"content-type", "text/plain"}});
  EXPECT_EQ(&chain_->sink(), &*chain_);
  EXPECT_FALSE(chain_->working());
  Feed("plain");
  EXPECT_EQ(caller_.body(), "plain");
  EXPECT_EQ(held_.value(), 0);
}

TEST_F(BodyChainTest, WhatIsNotDecodedKeepsItsHead) {
  for (const auto& [coding, status, length] : {std::tuple<const char*, int, std::optional<uint64_t>>("gzip", 200, 0),
                                               {"gzip", 206, std::nullopt},
                                               {"compress", 200, std::nullopt},
                                               {"identity", 200, std::nullopt}}) {
    Begin({{"content-encoding", coding}}, status, length);
    EXPECT_FALSE(chain_->working());
    EXPECT_EQ(caller_.head().headers.Find("content-encoding"), coding);
    EXPECT_TRUE(caller_.head().decoded.empty());
  }
}

TEST_F(BodyChainTest, WhatIsLeftAtTheEndWaitsForCredit) {
  caller_.SetCredit(3);
  Begin({{"content-encoding", "gzip"}});
  Feed(Gzip("decoded"));
  AttemptOutcome result;
  bool done = false;
  loop_.Start(chain_->Finish(loop_.scope(), result), done);
  loop_.Poll();
  EXPECT_FALSE(done);
  EXPECT_EQ(caller_.body(), "dec");
  caller_.GiveCredit(100);
  loop_.RunUntil([&] { return done; });
  EXPECT_EQ(caller_.body(), "decoded");
  EXPECT_FALSE(result.failure.has_value());
}

TEST_F(BodyChainTest, AStoppedScopeIsTheFailure) {
  caller_.SetCredit(3);
  Begin({{"content-encoding", "gzip"}});
  Feed(Gzip("decoded"));
  loop_.scope().Cancel(FailureCode::kCancelled);
  const AttemptOutcome result = Finish();
  ASSERT_TRUE(result.failure.has_value());
  EXPECT_EQ(result.failure->code, FailureCode::kCancelled);
  EXPECT_EQ(result.failure->phase, Phase::kDecode);
}

TEST_F(BodyChainTest, AFailureOfTheEngineStays) {
  Begin({{"content-encoding", "gzip"}});
  Feed(Gzip("decoded").substr(0, 12));
  AttemptOutcome broken;
  broken.failure = Failure{.code = FailureCode::kHttpResponseIncomplete,
                           .phase = Phase::kReceive,
                           .processed = Processed::kYes,
                           .detail = ""};
  EXPECT_EQ(Finish(std::move(broken)).failure->code, FailureCode::kHttpResponseIncomplete);
}

TEST_F(BodyChainTest, ARefusalThatTheEngineDidNotSeeIsTheFailure) {
  Begin({{"content-encoding", "gzip"}});
  Feed("not gzip at all");
  ASSERT_NE(chain_->refusal(), nullptr);
  EXPECT_EQ(Finish().failure->code, FailureCode::kHttpResponseContentCoding);
}

TEST_F(BodyChainTest, ABodyThatTheEngineCutNeedNotEnd) {
  spec_.body_limit = {.max_bytes = 1000, .truncate = true};
  Begin({{"content-encoding", "gzip"}});
  Feed(Gzip(std::string(500, 'a')).substr(0, 15));
  AttemptOutcome cut;
  cut.truncated = true;
  const AttemptOutcome result = Finish(std::move(cut));
  EXPECT_FALSE(result.failure.has_value());
  EXPECT_TRUE(result.truncated);
}

TEST_F(BodyChainTest, ABodyCutByTheDecoderIsTruncated) {
  spec_.body_limit = {.max_bytes = 10, .truncate = true};
  Begin({{"content-encoding", "gzip"}});
  Feed(Gzip(std::string(500, 'a')));
  AttemptOutcome refused;
  refused.failure = *chain_->refusal();
  const AttemptOutcome result = Finish(std::move(refused));
  EXPECT_FALSE(result.failure.has_value());
  EXPECT_TRUE(result.truncated);
  EXPECT_EQ(caller_.body(), std::string(10, 'a'));
}

TEST_F(BodyChainTest, ARefusedHeadTakesNoBody) {
  Contract().content_types = {"text/csv"};
  Begin({{"content-type", "text/html"}});
  EXPECT_EQ(caller_.head().status, 200);
  ASSERT_NE(chain_->refusal(), nullptr);
  EXPECT_EQ(chain_->refusal()->code, FailureCode::kContentTypeUnexpected);
  EXPECT_TRUE(chain_->Prepare(10).empty());
  EXPECT_EQ(Finish().failure->code, FailureCode::kContentTypeUnexpected);
}

TEST_F(BodyChainTest, TheContractIsOfSuccessfulResponses) {
  Contract().content_types = {"text/csv"};
  for (const auto& [status, refused] : {std::pair(200, true), {299, true}, {300, false}, {404, false}, {599, false}}) {
    Begin({{"content-type", "text/html"}}, status);
    EXPECT_EQ(chain_->refusal() != nullptr, refused) << status;
  }
}

TEST_F(BodyChainTest, JsonIsHeldCountedAndGivenBack) {
  BodyContract& contract = Contract();
  contract.select = "/a";
  caller_.SetCredit(4);
  Begin({{"content-encoding", "gzip"}, {"content-length", "7"}}, 200, 7);
  Feed(Gzip("{\"a\": \"0123456789\"}"));
  EXPECT_EQ(caller_.body(), "");
  EXPECT_GE(held_.value(), 19);
  AttemptOutcome result;
  bool done = false;
  loop_.Start(chain_->Finish(loop_.scope(), result), done);
  loop_.Poll();
  EXPECT_EQ(caller_.body(), "\"012");
  caller_.GiveCredit(100);
  loop_.RunUntil([&] { return done; });
  EXPECT_FALSE(result.failure.has_value());
  EXPECT_EQ(caller_.body(), "\"0123456789\"");
  chain_.reset();
  EXPECT_EQ(held_.value(), 0);
}

TEST_F(BodyChainTest, JsonOverTheServersLimitIsRefused) {
  BodyContract& contract = Contract();
  contract.json = true;
  contract.max_held_bytes = 10;
  for (const size_t size : {9, 10, 11}) {
    Begin({});
    Feed("[" + std::string(size - 2, ' ') + "]");
    EXPECT_EQ(chain_->refusal() != nullptr, size > 10) << size;
    EXPECT_EQ(Finish().failure.has_value(), size > 10) << size;
    Begin({}, 200, size);
    EXPECT_EQ(chain_->refusal() != nullptr, size > 10) << size;
  }
}

}  // namespace
}  // namespace fetchd::server
