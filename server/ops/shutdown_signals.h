// How the process is told to end.
#pragma once

namespace fetchd::server {

// Makes SIGTERM and SIGINT something to wait for, and SIGPIPE nothing. Made in main before any thread, which then all
// leave these signals alone.
class ShutdownSignals {
 public:
  ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

  // Waits for the first one and returns its number. From then on another one ends the process at once, with 128 and its
  // number as exit code.
  int Wait();
};

}  // namespace fetchd::server
