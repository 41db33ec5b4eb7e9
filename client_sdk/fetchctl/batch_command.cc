#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/fetchctl.h"
#include "fetchctl/input.h"
#include "fetchctl/progress.h"
#include "fetchctl/report.h"

namespace fetchd::fetchctl {
namespace {

// One run of `fetchctl batch`, in as many calls as it takes.
class Batch {
 public:
  Batch(const Session& session, std::vector<v1::FetchRequest> requests)
      : session_(session),
        requests_(std::move(requests)),
        progress_(session.terminal.err, session.terminal.err_is_terminal && !session.invocation.silent),
        started_(absl::Now()) {}

  int Run() {
    size_t begin = 0;
    while (begin < requests_.size()) {
      const size_t end = EndOfCall(begin);
      const absl::Status status = Call(begin, end);
      if (!status.ok()) {
        progress_.Erase();
        return ReportStatus(session_, status);
      }
      if (write_failed_) return Complain(session_, kWriteLocal, write_failure_);
      begin = end;
      if (first_failure_.has_value() &&
          session_.invocation.batch.failure_mode() == v1::FetchBatchRequest::FAILURE_MODE_FAIL_FAST) {
        SkipRest(begin);
        break;
      }
    }
    progress_.Erase();
    Note(session_, absl::StrCat(done_, " fetched, ", failed_, " failed", skipped_ == 0 ? "" : ", ",
                                skipped_ == 0 ? "" : absl::StrCat(skipped_, " skipped"), ", in ",
                                absl::FormatDuration(absl::Trunc(absl::Now() - started_, absl::Milliseconds(1)))));
    return first_failure_.has_value() ? first_failure_->code : kOk;
  }

 private:
  struct Failure {
    size_t index;
    int code;
  };

  // fetchd takes 10,000 items per call, as shipped, and gRPC 4 MiB.
  size_t EndOfCall(size_t begin) const {
    constexpr size_t kMaxItems = 5000;
    constexpr size_t kMaxBytes = 3 << 20;
    size_t end = begin;
    size_t bytes = 0;
    while (end < requests_.size() && end - begin < kMaxItems) {
      bytes += requests_[end].ByteSizeLong() + 8;
      if (end > begin && bytes > kMaxBytes) break;
      ++end;
    }
    return end;
  }

  absl::Status Call(size_t begin, size_t end) {
    v1::FetchBatchRequest call = session_.invocation.batch;
    for (size_t i = begin; i < end; ++i) {
      TraceRequest(session_, requests_[i]);
      *call.add_requests() = requests_[i];
    }
    const CallOptions options{.deadline = session_.invocation.deadline, .stop = session_.stop};
    for (absl::StatusOr<v1::BatchResult>& result : session_.client.Batch(call, options)) {
      if (!result.ok()) return result.status();
      const size_t index = begin + result->index();
      if (index >= requests_.size())
        return absl::InternalError("fetchd sent a result for an item that was not asked for");
      result->set_index(static_cast<uint32_t>(index));
      Take(*result);
      if (write_failed_) break;
      progress_.Draw(
          [&] { return BatchProgress(done_ + skipped_, requests_.size(), failed_, absl::Now() - started_); });
    }
    return absl::OkStatus();
  }

  void Take(const v1::BatchResult& result) {
    progress_.Erase();
    if (session_.invocation.json) {
      Print(ToJson(result));
    } else {
      Print(Line(result));
    }
    if (result.has_skipped()) {
      ++skipped_;
      return;
    }
    ++done_;
    if (const int code = OutcomeCode(session_, result.fetch()); code != kOk) {
      ++failed_;
      if (!first_failure_.has_value() || result.index() < first_failure_->index) {
        first_failure_ = {.index = result.index(), .code = code};
      }
    }
    TraceFetch(session_, result.fetch().fetch_id(), result.fetch().attempts());
    PrintTrace(session_, result.fetch().trace());
    if (!session_.invocation.output_dir.empty() && result.fetch().has_response()) {
      const std::string path = absl::StrCat(session_.invocation.output_dir, "/", result.index());
      Output output;
      if (!output.Open(path, session_.terminal) || !(output.stream() << result.fetch().response().body()) ||
          !output.Close()) {
        FailToWrite(absl::StrCat("cannot write ", path));
      }
    }
  }

  // INDEX, STATUS or error or "skipped", bytes, URL, and what there is to say, with tabs between them.
  std::string Line(const v1::BatchResult& result) const {
    const std::string& url = requests_[result.index()].url();
    if (result.has_skipped())
      return absl::StrCat(result.index(), "\tskipped\t0\t", url, "\t", result.skipped().reason());
    if (result.fetch().has_error()) {
      const v1::FetchError& error = result.fetch().error();
      return absl::StrCat(result.index(), "\t", v1::ErrorCode_Name(error.code()), "\t",
                          error.partial_response().body().size(), "\t", url, "\t", error.message());
    }
    const v1::HttpResponse& response = result.fetch().response();
    return absl::StrCat(result.index(), "\t", response.status(), "\t", response.body().size(), "\t", url);
  }

  // Fail-fast ended a call: the items of the calls that are not made now are skipped as well.
  void SkipRest(size_t begin) {
    for (size_t i = begin; i < requests_.size(); ++i) {
      v1::BatchResult result;
      result.set_index(static_cast<uint32_t>(i));
      result.mutable_skipped()->set_reason("another item failed first");
      Take(result);
    }
  }

  void Print(const std::string& line) {
    if (!(session_.terminal.out << line << "\n")) FailToWrite("cannot write to standard output");
  }

  void FailToWrite(const std::string& what) {
    write_failed_ = true;
    write_failure_ = what;
  }

  const Session& session_;
  const std::vector<v1::FetchRequest> requests_;
  ProgressLine progress_;
  const absl::Time started_;
  uint64_t done_ = 0;
  uint64_t failed_ = 0;
  uint64_t skipped_ = 0;
  // That of the lowest index, so that the exit code does not depend on the order of completion.
  std::optional<Failure> first_failure_;
  bool write_failed_ = false;
  std::string write_failure_;
};

}  // namespace

int RunBatch(const Session& session, const v1::FetchRequest& request) {
  const absl::StatusOr<std::string> text = ReadAll(session.invocation.operand, session.terminal);
  if (!text.ok()) return Complain(session, kReadLocal, std::string(text.status().message()));
  absl::StatusOr<std::vector<v1::FetchRequest>> requests = ParseBatch(*text, request);
  if (!requests.ok()) return Complain(session, kUsage, std::string(requests.status().message()));
  if (requests->empty()) return Complain(session, kUsage, "there is no URL in " + session.invocation.operand);
  if (const std::string& dir = session.invocation.output_dir; !dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(dir, error);
    if (error) return Complain(session, kWriteLocal, "cannot make " + dir + ": " + error.message());
  }
  const int code = Batch(session, *std::move(requests)).Run();
  return session.terminal.out.flush() ? code : kWriteLocal;
}

}  // namespace fetchd::fetchctl
