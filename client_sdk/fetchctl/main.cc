// fetchctl: fetches by way of fetchd, for people. See docs/fetchctl.md.
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <stop_token>
#include <thread>

#include "fetchctl/fetchctl.h"

int main(int argc, char** argv) {
  // Signals are taken by one thread, with sigwait; all others, gRPC's included, inherit this mask.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A closed pipe shows as a failed write.
  signal(SIGPIPE, SIG_IGN);

  std::stop_source stop;
  std::atomic<int> caught = 0;
  std::thread([&stop, &caught, signals] {
    int number = 0;
    sigwait(&signals, &number);
    caught = number;
    stop.request_stop();
    // A second signal, or a command that does not notice (it may be reading standard input), ends it the hard way.
    const timespec patience{.tv_sec = 2, .tv_nsec = 0};
    sigtimedwait(&signals, nullptr, &patience);
    _exit(128 + number);
  }).detach();

  std::ios::sync_with_stdio(false);
  const char* target = getenv("FETCHD_TARGET");
  const fetchd::fetchctl::Environment environment{.target = target == nullptr ? "" : target};
  fetchd::fetchctl::Terminal terminal{.in = std::cin,
                                      .out = std::cout,
                                      .err = std::cerr,
                                      .err_is_terminal = isatty(STDERR_FILENO) == 1,
                                      .in_is_interactive = true};
  const int code = fetchd::fetchctl::Run({argv + 1, argv + argc}, environment, terminal, stop.get_token());
  std::cout.flush();
  std::cerr.flush();
  // Not exit(): the signal thread, and one that waits for standard input, still use what exit would destroy.
  _exit(code == 130 && caught == SIGTERM ? 128 + SIGTERM : code);
}
