#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace fetchd::fetchctl {

// "[#####.....]  50% 10/20, 1 failed, 4.0/s".
std::string BatchProgress(uint64_t done, uint64_t total, uint64_t failed, absl::Duration elapsed);

// "12.5 MiB of 25.0 MiB, 50%, 6.2 MiB/s"; without the total if it is not known.
std::string TransferProgress(uint64_t bytes, std::optional<uint64_t> total, absl::Duration elapsed);

// "512 B", "12.5 MiB".
std::string FormatBytes(double bytes);

// One line on a terminal, drawn over and over, at most ten times a second. Does nothing when not `enabled`. Erases
// itself when destroyed.
class ProgressLine {
 public:
  ProgressLine(std::ostream& err, bool enabled) : err_(err), enabled_(enabled) {}
  ~ProgressLine() { Erase(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `text()` is only made when it is time to draw.
  template <typename Text>
  void Draw(Text text) {
    if (!enabled_) return;
    const absl::Time now = absl::Now();
    if (now - last_ < absl::Milliseconds(100)) return;
    last_ = now;
    err_ << "\r\033[K" << text() << std::flush;
    drawn_ = true;
  }

  // Makes room for other output.
  void Erase() {
    if (!drawn_) return;
    err_ << "\r\033[K" << std::flush;
    drawn_ = false;
  }

 private:
  std::ostream& err_;
  const bool enabled_;
  bool drawn_ = false;
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace fetchd::fetchctl
