#include "telemetry/log.h"

#include <memory>
#include <mutex>

#include "spdlog/logger.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace fetchd::server {
namespace {

// The lines come with their line feeds and many at a time, so spdlog adds nothing and writes once.
LineSink ByLogger(std::string name, spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>(std::move(name), std::move(sink));
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::trace);
  logger->flush_on(spdlog::level::trace);
  return [logger = std::move(logger)](std::string_view lines) {
    if (!lines.empty() && lines.back() == '\n') lines.remove_suffix(1);
    logger->log(spdlog::level::info, spdlog::string_view_t(lines.data(), lines.size()));
  };
}

}  // namespace

LineSink StdoutLines() { return ByLogger("stdout", std::make_shared<spdlog::sinks::stdout_sink_mt>()); }
LineSink StderrLines() { return ByLogger("stderr", std::make_shared<spdlog::sinks::stderr_sink_mt>()); }

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
