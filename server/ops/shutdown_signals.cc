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

int WaitForOne() {
  const sigset_t set = EndSignals();
  int number = 0;
  while (sigwait(&set, &number) != 0) {
  }
  return number;
}

}  // namespace

ShutdownSignals::ShutdownSignals() {
  const sigset_t set = EndSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

int ShutdownSignals::Wait() {
  const int number = WaitForOne();
  // Ends with the process.
  std::thread([] { _exit(128 + WaitForOne()); }).detach();
  return number;
}

}  // namespace fetchd::server
