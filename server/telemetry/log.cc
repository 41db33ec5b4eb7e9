#include "telemetry/log.h"

#include <cstdio>
#include <mutex>

namespace fetchd::server {
namespace {

// Lines come with their line feeds, many at a time, and are written whole. Nobody is left to be told if that fails.
LineSink To(std::FILE* file) {
  return [file](std::string_view lines) {
    std::fwrite(lines.data(), 1, lines.size(), file);
    std::fflush(file);
  };
}

}  // namespace

LineSink StdoutLines() { return To(stdout); }
LineSink StderrLines() { return To(stderr); }

struct Log::State {
  LogOptions options;
  const Clock& clock;
  std::mutex mutex;
  LineSink sink;  // guarded by mutex
};

Log::Log(LogOptions options, const Clock& clock, LineSink sink)
    : state_(new State{.options = options, .clock = clock, .mutex = {}, .sink = std::move(sink)}) {}

Log::~Log() = default;

void Log::Write(LogLevel level, std::string_view message, std::initializer_list<Field> fields) {
  if (level < state_->options.level) return;
  std::string text;
  LogLine line(text, state_->options.format, state_->clock.WallNow(), level, message);
  for (const auto& [key, value] : fields) line.Add(key, value);
  line.End();
  const std::lock_guard lock(state_->mutex);
  state_->sink(text);
}

}  // namespace fetchd::server
