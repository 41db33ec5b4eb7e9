#include "fetchctl/progress.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace fetchd::fetchctl {
namespace {

double PerSecond(uint64_t count, absl::Duration elapsed) {
  return static_cast<double>(count) / std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
}

}  // namespace

std::string FormatBytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
}

std::string BatchProgress(uint64_t done, uint64_t total, uint64_t failed, absl::Duration elapsed) {
  constexpr uint64_t kWidth = 30;
  const uint64_t filled = total == 0 ? kWidth : done * kWidth / total;
  std::string text = absl::StrFormat("[%s%s] %3d%% %d/%d", std::string(filled, '#'), std::string(kWidth - filled, '.'),
                                     total == 0 ? 100 : done * 100 / total, done, total);
  if (failed > 0) absl::StrAppend(&text, ", ", failed, " failed");
  absl::StrAppend(&text, absl::StrFormat(", %.1f/s", PerSecond(done, elapsed)));
  return text;
}

std::string TransferProgress(uint64_t bytes, std::optional<uint64_t> total, absl::Duration elapsed) {
  std::string text = FormatBytes(static_cast<double>(bytes));
  if (total.has_value()) {
    absl::StrAppend(&text, " of ", FormatBytes(static_cast<double>(*total)));
    if (*total > 0) absl::StrAppend(&text, ", ", std::min<uint64_t>(100, bytes * 100 / *total), "%");
  }
  absl::StrAppend(&text, ", ", FormatBytes(PerSecond(bytes, elapsed)), "/s");
  return text;
}

}  // namespace fetchd::fetchctl
