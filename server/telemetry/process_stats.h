// What the kernel says about this process.
#pragma once

#include <cstdint>

namespace fetchd::server {

struct ProcessStats {
  int64_t resident_bytes = 0;
  int64_t open_fds = 0;
  // Soft limit of open files; -1 if there is none.
  int64_t max_fds = 0;
  // User and system time since the start.
  double cpu_seconds = 0;

  // As it is now; fields that cannot be read stay 0. Reads /proc, so not for the path of a fetch.
  static ProcessStats Read();
};

}  // namespace fetchd::server
