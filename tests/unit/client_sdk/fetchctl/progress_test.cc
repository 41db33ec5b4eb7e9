#include "fetchctl/progress.h"

#include <sstream>

#include "gtest/gtest.h"

namespace fetchd::fetchctl {
namespace {

TEST(Progress, BytesInTheUnitThatFits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.0 KiB");
  EXPECT_EQ(FormatBytes(12.5 * 1024 * 1024), "12.5 MiB");
}

TEST(Progress, BatchBar) {
  EXPECT_EQ(BatchProgress(10, 20, 1, absl::Seconds(5)), "[###############...............]  50% 10/20, 1 failed, 2.0/s");
  EXPECT_EQ(BatchProgress(20, 20, 0, absl::Seconds(5)), "[##############################] 100% 20/20, 4.0/s");
}

TEST(Progress, TransferWithAndWithoutTotal) {
  EXPECT_EQ(TransferProgress(1024, 4096, absl::Seconds(1)), "1.0 KiB of 4.0 KiB, 25%, 1.0 KiB/s");
  EXPECT_EQ(TransferProgress(1024, std::nullopt, absl::Seconds(2)), "1.0 KiB, 512 B/s");
  EXPECT_EQ(TransferProgress(0, 0, absl::ZeroDuration()), "0 B of 0 B, 0 B/s");
}

TEST(ProgressLine, DrawsOnlyOnATerminalAndLeavesNothingBehind) {
  std::ostringstream file;
  {
    ProgressLine(file, false).Draw([] { return "x"; });
  }
  EXPECT_EQ(file.str(), "");

  std::ostringstream terminal;
  {
    ProgressLine line(terminal, true);
    line.Draw([] { return "x"; });
  }
  EXPECT_EQ(terminal.str(), "\r\033[Kx\r\033[K");
}

}  // namespace
}  // namespace fetchd::fetchctl
