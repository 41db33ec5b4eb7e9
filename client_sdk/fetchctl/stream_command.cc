#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/fetchctl.h"
#include "fetchctl/progress.h"
#include "fetchctl/report.h"

namespace fetchd::fetchctl {
namespace {

// Sends a file, or standard input, on a thread of its own, so that the answer can be read meanwhile.
class Uploader {
 public:
  // nullopt if `path` cannot be read.
  static std::unique_ptr<Uploader> Open(const std::string& path, Terminal& terminal) {
    auto uploader = std::make_unique<Uploader>();
    uploader->state_ = std::make_shared<State>();
    if (path == "-") {
      uploader->state_->in = &terminal.in;
      uploader->may_hang_ = terminal.in_is_interactive;
      return uploader;
    }
    std::error_code error;
    if (std::filesystem::is_regular_file(path, error)) {
      uploader->length_ = std::filesystem::file_size(path, error);
      if (error) return nullptr;
    }
    uploader->state_->file.open(path, std::ios::binary);
    uploader->state_->in = &uploader->state_->file;
    if (!uploader->state_->file || std::filesystem::is_directory(path, error)) return nullptr;
    return uploader;
  }

  ~Uploader() {
    if (!thread_.joinable()) return;
    // Nobody can interrupt a read from a terminal or pipe; the process ends soon and takes the thread with it.
    may_hang_ ? thread_.detach() : thread_.join();
  }

  void Start(BodyWriter writer) {
    thread_ = std::thread([state = state_, writer = std::move(writer)]() mutable {
      std::string piece(kPiece, '\0');
      while (state->in->read(piece.data(), kPiece) || state->in->gcount() > 0) {
        const size_t size = static_cast<size_t>(state->in->gcount());
        if (!writer.Write(std::string_view(piece).substr(0, size))) return;
        state->sent += size;
      }
      if (state->in->bad()) {
        // The writer is destroyed unclosed, which cancels the fetch.
        state->failed = true;
        return;
      }
      writer.Close();
    });
  }

  // Of a regular file.
  std::optional<uint64_t> length() const { return length_; }
  uint64_t sent() const { return state_->sent; }
  bool failed() const { return state_->failed; }

 private:
  static constexpr size_t kPiece = 256 * 1024;

  struct State {
    std::ifstream file;
    std::istream* in = nullptr;
    std::atomic<uint64_t> sent = 0;
    std::atomic<bool> failed = false;
  };

  std::shared_ptr<State> state_;
  std::optional<uint64_t> length_;
  bool may_hang_ = false;
  std::thread thread_;
};

std::optional<uint64_t> ContentLength(const v1::ResponseHead& head) {
  for (const v1::Header& header : head.headers()) {
    uint64_t length = 0;
    if (absl::EqualsIgnoreCase(header.name(), "content-length") && absl::SimpleAtoi(header.value(), &length)) {
      return length;
    }
  }
  return std::nullopt;
}

// Waits until `bytes` may have been read at `rate` per second since `start`, or for the stop.
void Pace(uint64_t bytes, uint64_t rate, absl::Time start, const std::stop_token& stop) {
  if (rate == 0) return;
  const absl::Time due = start + absl::Seconds(static_cast<double>(bytes) / static_cast<double>(rate));
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_until(lock, stop, absl::ToChronoTime(due), [] { return false; });
}

// {"head": ..., "tail": ...}
std::string JsonLine(const v1::ResponseHead* head, const v1::StreamTail* tail) {
  std::string line = "{";
  if (head != nullptr) absl::StrAppend(&line, "\"head\":", ToJson(*head));
  if (tail != nullptr) absl::StrAppend(&line, head == nullptr ? "" : ",", "\"tail\":", ToJson(*tail));
  return line + "}";
}

}  // namespace

int RunStream(const Session& session, const v1::FetchRequest& request) {
  const Invocation& invocation = session.invocation;
  CallOptions options{.deadline = invocation.deadline, .stop = session.stop};
  if (!options.deadline.has_value() && invocation.max_time.has_value()) {
    options.deadline = *invocation.max_time + absl::Seconds(5);
  }
  TraceRequest(session, request);

  // Declared before the reader, destroyed after it: destroying the reader cancels the call, which frees the uploader.
  std::unique_ptr<Uploader> uploader;
  std::optional<BodyReader> reader;
  if (invocation.upload.empty()) {
    reader = session.client.Stream(request, options);
  } else {
    uploader = Uploader::Open(invocation.upload, session.terminal);
    if (uploader == nullptr) return Complain(session, kReadLocal, "cannot read " + invocation.upload);
    BodyStream both = session.client.Upload(request, uploader->length(), options);
    reader = std::move(both.reader);
    uploader->Start(std::move(both.writer));
  }

  const absl::Time start = absl::Now();
  ProgressLine progress(session.terminal.err, session.terminal.err_is_terminal && !invocation.silent);
  const v1::ResponseHead* head = reader->head();
  if (uploader != nullptr && uploader->failed()) {
    return Complain(session, kReadLocal, "reading " + invocation.upload + " failed");
  }
  if (head != nullptr) {
    TraceRedirects(session, head->redirects());
    TraceHead(session, head->status(), head->headers());
    if (invocation.fail && head->status() >= 400) {
      if (invocation.json) session.terminal.out << JsonLine(head, nullptr) << "\n" << std::flush;
      return Complain(session, kHttpError, absl::StrCat("the origin answered HTTP ", head->status()));
    }
    Output output;
    if (!output.Open(invocation.output, session.terminal)) {
      return Complain(session, kWriteLocal, "cannot write " + invocation.output);
    }
    if (invocation.include) PrintHead(output.stream(), head->status(), head->headers());
    const std::optional<uint64_t> total = ContentLength(*head);
    uint64_t bytes = 0;
    for (const absl::StatusOr<std::string>& piece : *reader) {
      if (!piece.ok()) break;
      if (!(output.stream() << *piece)) break;
      bytes += piece->size();
      progress.Draw([&] { return TransferProgress(bytes, total, absl::Now() - start); });
      Pace(bytes, invocation.limit_rate, start, session.stop);
    }
    progress.Erase();
    if (!output.Close()) return Complain(session, kWriteLocal, "cannot write the body");
    if (session.terminal.err_is_terminal || invocation.verbose) {
      if (uploader != nullptr) Note(session, "sent " + FormatBytes(static_cast<double>(uploader->sent())));
      Note(session, "received " + TransferProgress(bytes, std::nullopt, absl::Now() - start));
    }
  }
  if (const absl::Status status = reader->status(); !status.ok()) return ReportStatus(session, status);
  const v1::StreamTail& tail = *reader->tail();
  TraceFetch(session, tail.fetch_id(), tail.attempts());
  PrintTrace(session, tail.trace());
  if (invocation.json) {
    session.terminal.out << JsonLine(head, &tail) << "\n";
    if (!session.terminal.out.flush()) return kWriteLocal;
  }
  if (tail.has_error()) return ReportError(session, tail.error(), tail.fetch_id(), tail.attempts());
  return kOk;
}

}  // namespace fetchd::fetchctl
