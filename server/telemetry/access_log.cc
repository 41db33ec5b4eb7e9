#include "telemetry/access_log.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace fetchd::server {
namespace {

std::string_view Cut(std::string_view value, size_t max, std::string& scratch) {
  if (value.size() <= max) return value;
  scratch.assign(value.substr(0, max));
  scratch += "...";
  return scratch;
}

void AppendLine(std::string& out, const AccessLogOptions& options, WallTime now, const FetchRecord& record) {
  const bool failed = record.failure.has_value();
  LogLine line(out, options.format, now, failed ? LogLevel::kWarning : LogLevel::kInfo, "fetch");
  std::string scratch;
  const auto add = [&](std::string_view key, std::string_view value, std::string_view prefix = {}) {
    line.Add(key, Cut(value, options.max_value_bytes, scratch), prefix);
  };
  add("id", record.id);
  add("caller", record.caller);
  add("rpc", record.rpc);
  add("method", record.method);
  add("url", record.url);
  line.Add("status", record.status);
  if (failed) {
    line.Add("failure", ToString(*record.failure));
    line.Add("phase", ToString(record.failure_phase));
    add("detail", record.detail);
  }
  line.Add("attempts", record.attempts);
  if (record.redirects > 0) line.Add("redirects", record.redirects);
  line.Add("request_bytes", static_cast<int64_t>(record.request_bytes));
  line.Add("response_bytes", static_cast<int64_t>(record.response_bytes));
  line.AddMillis("ms", record.duration);
  if (record.request_headers != nullptr) {
    for (const std::string& name : options.request_headers) {
      for (const HeaderView header : *record.request_headers) {
        if (header.name != name) continue;
        add(name, header.sensitive || IsSecretName(name) ? "<redacted>" : header.value, "header.");
        break;
      }
    }
  }
  line.End();
}

}  // namespace

// The mutex is taken by its thread for each line and by the writer a few times a second, so it is nearly always free.
// Standard mutexes here, not Abseil's: Debian's is not instrumented, and TSan must see them.
struct AccessLog::Buffer {
  std::mutex mutex;
  std::string lines;    // guarded by mutex
  std::string writing;  // guarded by State::sink_mutex; swapped with `lines`, so that both keep their memory
};

struct AccessLog::State {
  AccessLogOptions options;
  const Clock& clock;
  // Names this log in the threads' memory of their buffers, as an address could be used again.
  uint64_t serial;
  std::atomic<int64_t> dropped{0};

  std::mutex buffers_mutex;
  std::vector<std::unique_ptr<Buffer>> buffers;  // guarded by buffers_mutex

  std::mutex sink_mutex;
  LineSink sink;  // guarded by sink_mutex

  std::mutex stop_mutex;
  std::condition_variable stopped;
  bool stop = false;  // guarded by stop_mutex
  std::thread writer;

  State(AccessLogOptions o, const Clock& c, LineSink s)
      : options(std::move(o)), clock(c), serial(NextSerial()), sink(std::move(s)) {}
  static uint64_t NextSerial() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
  }
};

AccessLog::AccessLog(AccessLogOptions options, const Clock& clock, LineSink sink)
    : state_(std::make_unique<State>(std::move(options), clock, std::move(sink))) {
  if (state_->options.which != AccessLogOptions::Which::kNone) state_->writer = std::thread([this] { Run(); });
}

AccessLog::~AccessLog() {
  {
    const std::lock_guard lock(state_->stop_mutex);
    state_->stop = true;
  }
  state_->stopped.notify_one();
  if (state_->writer.joinable()) state_->writer.join();
  Flush();
}

AccessLog::Buffer& AccessLog::BufferOfThisThread() {
  thread_local uint64_t serial = 0;
  thread_local Buffer* buffer = nullptr;
  if (buffer == nullptr || serial != state_->serial) {
    const std::lock_guard lock(state_->buffers_mutex);
    state_->buffers.push_back(std::make_unique<Buffer>());
    buffer = state_->buffers.back().get();
    serial = state_->serial;
  }
  return *buffer;
}

void AccessLog::OnFetch(const FetchRecord& record) {
  switch (state_->options.which) {
    case AccessLogOptions::Which::kNone:
      return;
    case AccessLogOptions::Which::kFailures:
      if (!record.failure.has_value()) return;
      break;
    case AccessLogOptions::Which::kAll:
      break;
  }
  const WallTime now = state_->clock.WallNow();
  Buffer& buffer = BufferOfThisThread();
  const std::lock_guard lock(buffer.mutex);
  const size_t before = buffer.lines.size();
  AppendLine(buffer.lines, state_->options, now, record);
  if (buffer.lines.size() > state_->options.max_waiting_bytes) {
    buffer.lines.resize(before);
    state_->dropped.fetch_add(1, std::memory_order_relaxed);
  }
}

void AccessLog::Flush() {
  const std::lock_guard sink_lock(state_->sink_mutex);
  std::vector<Buffer*> buffers;
  {
    const std::lock_guard lock(state_->buffers_mutex);
    for (const auto& buffer : state_->buffers) buffers.push_back(buffer.get());
  }
  for (Buffer* buffer : buffers) {
    buffer->writing.clear();
    {
      const std::lock_guard lock(buffer->mutex);
      buffer->writing.swap(buffer->lines);
    }
    if (!buffer->writing.empty()) state_->sink(buffer->writing);
  }
}

int64_t AccessLog::dropped() const { return state_->dropped.load(std::memory_order_relaxed); }

void AccessLog::Run() {
  bool stop = false;
  while (!stop) {
    {
      std::unique_lock lock(state_->stop_mutex);
      stop = state_->stopped.wait_for(lock, state_->options.interval, [this] { return state_->stop; });
    }
    Flush();
  }
}

}  // namespace fetchd::server
