#include "fetch/resume_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "fetch/paged_messages.h"

namespace fetchd::server {
namespace {

using ::testing::HasSubstr;

const std::string kKey(32, 'k');
const std::string kRequest(32, 'r');
constexpr WallTime kNow{std::chrono::seconds(1'700'000'000)};

PagingState SomeState() {
  PagingState state;
  state.next = "https://a.test/list?cursor=%00x";
  state.number = 1;
  state.pages = 2;
  state.items = 3;
  state.pages_base = 4;
  state.items_base = 5;
  state.skip = 6;
  state.last_body = UINT64_MAX;
  state.anchor = 0x0123456789abcdef;
  return state;
}

std::string MessageOf(const absl::StatusOr<PagingState>& state) {
  EXPECT_TRUE(absl::IsInvalidArgument(state.status())) << state.status();
  return std::string(state.status().message());
}

TEST(ResumeToken, CarriesEveryPartOfThePlace) {
  const ResumeTokens tokens({.key = kKey});
  std::vector<PagingState> states{PagingState{}, SomeState()};
  states.push_back(SomeState());
  states.back().delivered = true;
  states.push_back(PagingState{});
  states.back().done = true;
  states.push_back(SomeState());
  states.back().next = std::string(8192, 'u');
  for (const PagingState& state : states) {
    const std::string token = tokens.Seal(state, "me", kRequest, kNow);
    EXPECT_LE(token.size(), ResumeTokens::kMaxSize);
    absl::StatusOr<PagingState> opened = tokens.Open(token, "me", kRequest, kNow);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(*opened, state);
  }
}

TEST(ResumeToken, WorksAtEveryReplicaWithTheKeyAndAtNoOther) {
  const ResumeTokens here({.key = kKey}), there({.key = kKey}), other({.key = std::string(32, 'x')}), random({}),
      random_too({});
  const std::string token = here.Seal(SomeState(), "me", kRequest, kNow);
  EXPECT_TRUE(there.Open(token, "me", kRequest, kNow).ok());
  EXPECT_THAT(MessageOf(other.Open(token, "me", kRequest, kNow)), HasSubstr("was altered, or comes from a fetchd"));
  const std::string token_of_random = random.Seal(SomeState(), "me", kRequest, kNow);
  EXPECT_TRUE(random.Open(token_of_random, "me", kRequest, kNow).ok());
  EXPECT_FALSE(random_too.Open(token_of_random, "me", kRequest, kNow).ok());
}

TEST(ResumeToken, IsRefusedWhenAnyByteWasAltered) {
  const ResumeTokens tokens({.key = kKey});
  const std::string token = tokens.Seal(SomeState(), "me", kRequest, kNow);
  for (size_t i = 0; i < token.size(); ++i) {
    std::string altered = token;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(tokens.Open(altered, "me", kRequest, kNow).ok()) << i;
    EXPECT_FALSE(tokens.Open(token.substr(0, i), "me", kRequest, kNow).ok()) << i;
  }
  EXPECT_FALSE(tokens.Open(token + "x", "me", kRequest, kNow).ok());
}

TEST(ResumeToken, SaysWhyItIsRefused) {
  const ResumeTokens tokens({.key = kKey});
  const std::string token = tokens.Seal(SomeState(), "me", kRequest, kNow);
  EXPECT_THAT(MessageOf(tokens.Open("", "me", kRequest, kNow)), HasSubstr("too short"));
  EXPECT_THAT(MessageOf(tokens.Open("hello", "me", kRequest, kNow)), HasSubstr("too short"));
  EXPECT_THAT(MessageOf(tokens.Open(std::string(ResumeTokens::kMaxSize + 1, '\1'), "me", kRequest, kNow)),
              HasSubstr("over 12288 bytes"));
  EXPECT_THAT(MessageOf(tokens.Open("\2" + token.substr(1), "me", kRequest, kNow)), HasSubstr("another version"));
  EXPECT_THAT(MessageOf(tokens.Open(token.substr(0, token.size() - 1) + "!", "me", kRequest, kNow)),
              HasSubstr("was altered"));
  EXPECT_THAT(MessageOf(tokens.Open(token, "you", kRequest, kNow)), HasSubstr("another caller"));
  EXPECT_THAT(MessageOf(tokens.Open(token, "me", std::string(32, 's'), kNow)), HasSubstr("another request"));
  EXPECT_THAT(MessageOf(tokens.Open(token, "me", kRequest, kNow + std::chrono::hours(24))), HasSubstr("has expired"));
}

TEST(ResumeToken, IsValidForTheTimeToLive) {
  const ResumeTokens tokens({.key = kKey, .ttl = std::chrono::minutes(1)});
  const std::string token = tokens.Seal(SomeState(), "me", kRequest, kNow);
  EXPECT_TRUE(tokens.Open(token, "me", kRequest, kNow + std::chrono::seconds(59)).ok());
  EXPECT_FALSE(tokens.Open(token, "me", kRequest, kNow + std::chrono::seconds(60)).ok());
}

class KeyFile : public ::testing::Test {
 protected:
  ~KeyFile() override { std::remove(path_.c_str()); }
  absl::StatusOr<std::string> Load(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return LoadResumeTokenKey(path_);
  }
  // Tests run side by side.
  const std::string path_ = ::testing::TempDir() + "resume_token_key_" + std::to_string(getpid());
};

TEST_F(KeyFile, IsReadWithoutTrailingLineEnds) {
  EXPECT_EQ(Load(kKey + "\r\n\n").value(), kKey);
  EXPECT_EQ(Load(kKey).value(), kKey);
  EXPECT_EQ(Load(std::string(4096, 'k')).value().size(), 4096u);
}

TEST_F(KeyFile, IsRefusedWithItsNameIfItIsOfNoUse) {
  for (const std::string& content :
       {std::string(), std::string(31, 'k'), std::string(31, 'k') + "\n", std::string(4097, 'k')}) {
    const absl::Status status = Load(content).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
  }
  EXPECT_TRUE(absl::IsNotFound(LoadResumeTokenKey(path_ + ".missing").status()));
}

PagedSpec SomeSpec() {
  PagedSpec spec;
  spec.request.url = Url::Parse("https://a.test/list?q=1").value();
  spec.request.headers.Add("x-a", "1");
  spec.request.headers.Add("authorization", "Bearer old");
  spec.rules.strategy = CursorPaging{.pointer = "/next", .header = "", .param = "cursor"};
  spec.items = "/items";
  return spec;
}

TEST(PagedRequestHash, ChangesWithEverythingThatDecidesThePages) {
  std::vector<PagedSpec> specs(16, SomeSpec());
  specs[1].request.method = "POST";
  specs[2].request.url = Url::Parse("https://a.test/list?q=2").value();
  specs[3].request.headers.Add("x-b", "2");
  specs[4].request.body = "x";
  specs[5].rules.strategy = CursorPaging{.pointer = "/other", .header = "", .param = "cursor"};
  specs[6].rules.strategy = CursorPaging{.pointer = "/next", .header = "", .param = "c"};
  specs[7].rules.strategy = CursorPaging{.pointer = "", .header = "/next", .param = "cursor"};
  specs[8].rules.strategy = NextUrlPaging{.pointer = "/next"};
  specs[9].rules.max_pages = 5;
  specs[10].rules.max_items = 5;
  specs[11].rules.allow_other_origins = true;
  specs[12].items.reset();
  specs[13].items = "";
  specs[14].unit = PagedUnit::kItem;
  specs[15].rules.strategy =
      CursorPaging{.pointer = "/next", .header = "", .param = "cursor", .drop_other_params = true};
  for (size_t i = 0; i < specs.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(PagedRequestHash(specs[i]), PagedRequestHash(specs[j])) << i << " " << j;
  }
}

TEST(PagedRequestHash, DoesNotChangeWithPatienceOrAFreshAccessToken) {
  PagedSpec spec = SomeSpec();
  spec.request.headers.Remove("authorization");
  spec.request.headers.Add("authorization", "Bearer new");
  spec.request.timeouts.total = std::chrono::minutes(5);
  spec.request.retry.max_attempts = 9;
  spec.request.body_limit.max_bytes = 1;
  spec.request.id = "another";
  spec.deadline = Instant{};
  spec.resume = PagingState{};
  EXPECT_EQ(PagedRequestHash(spec), PagedRequestHash(SomeSpec()));
}

}  // namespace
}  // namespace fetchd::server
