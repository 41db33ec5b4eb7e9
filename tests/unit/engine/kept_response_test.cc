#include "engine/kept_response.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "support/loop.h"
#include "support/memory_sink.h"

namespace fetchd::server {
namespace {

class KeptResponseTest : public testing::Test {
 protected:
  // As an exchange does; false if there is no credit.
  bool Put(KeptResponse& kept, std::string_view bytes) {
    while (!bytes.empty()) {
      std::span<char> room = kept.Prepare(bytes.size());
      if (room.empty()) return false;
      size_t n = std::min(room.size(), bytes.size());
      std::memcpy(room.data(), bytes.data(), n);
      kept.Commit(n);
      bytes.remove_prefix(n);
    }
    return true;
  }
  FakeClock clock_;
  Loop loop_{clock_};
  MemorySink sink_{loop_.executor()};
  KeptResponse kept_{sink_};
};

TEST_F(KeptResponseTest, NothingReachesTheCallerBeforeReplay) {
  kept_.OnHead({.status = 503, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  EXPECT_TRUE(Put(kept_, "sorry"));
  EXPECT_EQ(sink_.heads(), 0);
  EXPECT_TRUE(loop_.Run(kept_.Replay(loop_.scope())));
  EXPECT_EQ(sink_.heads(), 1);
  EXPECT_EQ(sink_.head().status, 503);
  EXPECT_EQ(sink_.body(), "sorry");
}

TEST_F(KeptResponseTest, ReplayWaitsForCredit) {
  sink_.SetCredit(2);
  kept_.OnHead({.status = 503, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  Put(kept_, "sorry");
  std::optional<bool> done;
  loop_.Start(kept_.Replay(loop_.scope()), done);
  loop_.Poll();
  EXPECT_EQ(sink_.body(), "so");
  EXPECT_FALSE(done.has_value());
  sink_.GiveCredit(9);
  loop_.Poll();
  EXPECT_EQ(done, true);
  EXPECT_EQ(sink_.body(), "sorry");
}

TEST_F(KeptResponseTest, AStoppedScopeEndsReplay) {
  sink_.SetCredit(2);
  kept_.OnHead({.status = 503, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  Put(kept_, "sorry");
  loop_.scope().Cancel(FailureCode::kTotalTimeout);
  EXPECT_FALSE(loop_.Run(kept_.Replay(loop_.scope())));
  EXPECT_EQ(sink_.body(), "so");
}

TEST_F(KeptResponseTest, ABodyAsLargeAsTheCapIsHeld) {
  kept_.OnHead({.status = 503, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  EXPECT_TRUE(Put(kept_, std::string(KeptResponse::kMaxBody, 'x')));
  EXPECT_FALSE(kept_.overflowed());
  EXPECT_EQ(sink_.heads(), 0);
}

TEST_F(KeptResponseTest, ALargerBodyIsCommittedAndGoesStraightOn) {
  kept_.OnHead({.status = 503, .headers = {}, .content_length = std::nullopt, .redirects = nullptr});
  sink_.SetCredit(1000);
  EXPECT_FALSE(Put(kept_, std::string(KeptResponse::kMaxBody, 'x') + "tail"));
  EXPECT_TRUE(kept_.overflowed());
  EXPECT_EQ(sink_.heads(), 1);
  EXPECT_EQ(sink_.body().size(), 1000u);
  sink_.GiveCredit(KeptResponse::kMaxBody);
  EXPECT_TRUE(Put(kept_, "tail"));
  EXPECT_EQ(sink_.body().size(), KeptResponse::kMaxBody + 4);
  EXPECT_TRUE(sink_.body().ends_with("xxtail"));
}

}  // namespace
}  // namespace fetchd::server
