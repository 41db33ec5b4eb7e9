// How the process is told to read its configuration again, and to end.
#pragma once

#include "absl/functional/any_invocable.h"

namespace fetchd::server {

// Makes SIGTERM, SIGINT and SIGHUP something to wait for, and SIGPIPE nothing. Made in main before any thread, which
// then all leave these signals alone.
class ShutdownSignals {
 public:
  ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

  // Waits for the first SIGTERM or SIGINT and returns its number. From then on another one ends the process at once,
  // with 128 and its number as exit code. Until then `on_hangup` is called for SIGHUP, here: while it runs further ones
  // wait, and count as one. Afterwards SIGHUP does nothing.
  int Wait(absl::AnyInvocable<void()> on_hangup);
};

}  // namespace fetchd::server
