// One line for each fetch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "telemetry/fetch_observer.h"
#include "telemetry/log.h"

namespace fetchd::server {

struct AccessLogOptions {
  enum class Which { kAll, kFailures, kNone };
  Which which = Which::kAll;
  LogFormat format = LogFormat::kLogfmt;
  // Names, in lower case, of request headers that are written, as fields "header.NAME". A sensitive one is written as
  // "<redacted>".
  std::vector<std::string> request_headers = {};
  // A value is cut to this many bytes, then "..." follows.
  size_t max_value_bytes = 1024;
  // Lines that wait to be written, per thread that makes some. Lines beyond it are dropped and counted: a slow disk
  // must not slow down fetches.
  size_t max_waiting_bytes = 1 << 20;
  // Lines are written at least this often.
  Duration interval = std::chrono::milliseconds(100);
};

// Formats a line on the thread that calls and puts it into a buffer of that thread; a thread of the log's own writes
// the buffers to the sink. So OnFetch costs no system call and never waits for the sink. Lines of one thread stay in
// order. Destroying it writes what is left.
class AccessLog : public FetchObserver {
 public:
  // `clock` outlives the log.
  AccessLog(AccessLogOptions options, const Clock& clock, LineSink sink);
  ~AccessLog() override;
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // Thread-safe.
  void OnFetch(const FetchRecord& record) override;
  // Writes all lines of fetches that ended before. Thread-safe; waits for the sink.
  void Flush();
  // Lines dropped because the sink is too slow.
  int64_t dropped() const;

 private:
  struct State;
  struct Buffer;
  Buffer& BufferOfThisThread();
  void Run();

  std::unique_ptr<State> state_;
};

}  // namespace fetchd::server
