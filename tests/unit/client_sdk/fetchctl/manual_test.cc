// docs/fetchctl.md and the program must not drift apart.
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/flag_table.h"
#include "gtest/gtest.h"

namespace fetchd::fetchctl {
namespace {

class ManualTest : public testing::Test {
 protected:
  ManualTest() {
    std::ifstream file(FETCHCTL_MANUAL);
    manual_.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::string manual_;
};

TEST_F(ManualTest, DescribesEveryFlagAndCommand) {
  for (const Flag& flag : Flags()) {
    const std::string name = absl::StrCat("`--", std::string(flag.name));
    EXPECT_TRUE(absl::StrContains(manual_, name + "`") || absl::StrContains(manual_, name + " ")) << flag.name;
    if (flag.short_name != 0) {
      EXPECT_TRUE(absl::StrContains(manual_, std::string("`-") + flag.short_name + "`")) << flag.short_name;
    }
  }
  for (const CommandInfo& info : Commands()) {
    EXPECT_TRUE(absl::StrContains(manual_, absl::StrCat("\n## ", std::string(info.name), "\n"))) << info.name;
  }
}

TEST_F(ManualTest, ListsEveryExitCode) {
  const auto listed = [&](int code) { return absl::StrContains(manual_, absl::StrCat("\n| ", code, " |")); };
  for (int code = 1; code < v1::ErrorCode_ARRAYSIZE; ++code) {
    EXPECT_TRUE(listed(ExitCodeOf(static_cast<v1::ErrorCode>(code)))) << code;
  }
  for (const int code :
       {kOk, kNotServing, kUsage, kWriteLocal, kReadLocal, kUnauthenticated, kUnavailable, kInternal}) {
    EXPECT_TRUE(listed(code)) << code;
  }
  EXPECT_TRUE(absl::StrContains(manual_, "\n| 130, 143 |"));
}

}  // namespace
}  // namespace fetchd::fetchctl
