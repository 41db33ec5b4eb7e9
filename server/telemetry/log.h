// Messages for the operator.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "telemetry/log_line.h"

namespace fetchd::server {

// Takes one or more whole lines, each with its line feed. May block: it is called by Log::Write and by the access log's
// own thread only.
using LineSink = absl::AnyInvocable<void(std::string_view)>;

// Sinks that write to the process's standard output and error. Thread-safe.
LineSink StdoutLines();
LineSink StderrLines();

struct LogOptions {
  // Messages below it are not written.
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kLogfmt;
};

// Start, drain and end of the process, and what goes wrong in between; not for the path of a fetch. Thread-safe.
class Log {
 public:
  using Field = std::pair<std::string_view, std::string>;

  // `clock` outlives the log.
  Log(LogOptions options, const Clock& clock, LineSink sink);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // One line; returns when it is written.
  void Write(LogLevel level, std::string_view message, std::initializer_list<Field> fields = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fetchd::server
