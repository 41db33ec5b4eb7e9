#include "ops/shutdown_signals.h"

#include <unistd.h>

#include <csignal>
#include <thread>

namespace fetchd::server {
namespace {

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

sigset_t AllSignals() {
  sigset_t set = EndSignals();
  sigaddset(&set, SIGHUP);
  return set;
}

int WaitForOne(const sigset_t& set) {
  int number = 0;
  while (sigwait(&set, &number) != 0) {
  }
  return number;
}

}  // namespace

ShutdownSignals::ShutdownSignals() {
  const sigset_t set = AllSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int ShutdownSignals::Wait(absl::AnyInvocable<void()> on_hangup) {
  int number = WaitForOne(AllSignals());
  for (; number == SIGHUP; number = WaitForOne(AllSignals())) on_hangup();
  // Ends with the process.
  std::thread([] { _exit(128 + WaitForOne(EndSignals())); }).detach();
  return number;
}

}  // namespace fetchd::server
