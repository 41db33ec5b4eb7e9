#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/fetchctl.h"
#include "fetchctl/progress.h"
#include "fetchctl/report.h"

namespace fetchd::fetchctl {
namespace {

// An item on one line. In JSON a bare line break is white space, so a blank in its place changes nothing else.
std::string OnOneLine(std::string item) {
  std::replace_if(
      item.begin(), item.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return item;
}

void Write(const Session& session, std::ostream& out, std::string item) {
  item = OnOneLine(std::move(item));
  if (session.invocation.json) {
    out << "{\"item\":" << item << "}\n";
  } else {
    out << item << "\n";
  }
}

void Write(const Session& session, std::ostream& out, const v1::Page& page) {
  TraceRedirects(session, page.response().redirects());
  TraceHead(session, page.response().status(), page.response().headers());
  if (session.invocation.json) {
    out << "{\"page\":" << ToJson(page) << "}\n";
    return;
  }
  if (session.invocation.include) PrintHead(out, page.response().status(), page.response().headers());
  out << page.response().body();
  if (!page.response().body().empty() && page.response().body().back() != '\n') out << "\n";
}

// The list has ended, or the call has (then `end` is empty): says so and gives the exit code.
int Conclude(const Session& session, std::ostream& out, const absl::Status& status,
             const std::optional<v1::PagedEnd>& end, const std::string& resume_token) {
  const Invocation& invocation = session.invocation;
  if (invocation.json && end.has_value()) {
    v1::FetchPagedResponse line;
    *line.mutable_end() = *end;
    line.set_resume_token(resume_token);
    out << ToJson(line) << "\n";
  }
  int code = kOk;
  if (!end.has_value()) {
    code = ReportStatus(session, status);
  } else if (end->has_error()) {
    code = ReportError(session, end->error(), "", 0);
  } else if (end->reason() == v1::PagedEnd::REASON_DRAINING) {
    code = Complain(session, kUnavailable, "fetchd is shutting down");
  } else if (session.terminal.err_is_terminal || invocation.verbose) {
    Note(session, absl::StrCat(end->pages(), " pages", invocation.paged.has_items() ? ", " : "",
                               invocation.paged.has_items() ? absl::StrCat(end->items(), " items") : ""));
  }
  // Not only with an error: --max-pages and --max-items leave something to continue with too.
  if (!resume_token.empty() && !(invocation.json && end.has_value())) {
    Note(session, "continue with --resume " + absl::WebSafeBase64Escape(resume_token));
  }
  return code;
}

// Prints the trace of the newest page unless it is among the `shown` ones; how many there were then.
template <typename T>
uint64_t ShowTraces(const Session& session, std::ostream& out, ProgressLine& progress, const PagedRange<T>& range,
                    uint64_t shown) {
  if (range.traces() == shown || !session.invocation.explain) return range.traces();
  progress.Erase();
  if (session.invocation.json) {
    out << "{\"trace\":" << ToJson(range.trace()) << "}\n";
  } else {
    PrintTrace(session, range.trace());
  }
  return range.traces();
}

template <typename T>
int Print(const Session& session, PagedRange<T> range) {
  Output output;
  if (!output.Open(session.invocation.output, session.terminal)) {
    return Complain(session, kWriteLocal, "cannot write " + session.invocation.output);
  }
  ProgressLine progress(session.terminal.err, session.terminal.err_is_terminal && !session.invocation.silent &&
                                                  !session.invocation.output.empty());
  absl::Status status = absl::OkStatus();
  uint64_t count = 0;
  uint64_t shown = 0;
  for (absl::StatusOr<T>& value : range) {
    if (!value.ok()) {
      status = value.status();
      break;
    }
    shown = ShowTraces(session, output.stream(), progress, range, shown);
    Write(session, output.stream(), *std::move(value));
    ++count;
    // After Ctrl-C what has arrived is still written, up to the place where the resume token continues.
    if (!output.stream()) break;
    progress.Draw([&] { return absl::StrCat(count, std::is_same_v<T, v1::Page> ? " pages" : " items"); });
  }
  ShowTraces(session, output.stream(), progress, range, shown);
  progress.Erase();
  if (!output.stream()) return Complain(session, kWriteLocal, "cannot write the output");
  const int code = Conclude(session, output.stream(), status, range.end_of_list(), range.resume_token());
  return output.Close() ? code : Complain(session, kWriteLocal, "cannot write the output");
}

}  // namespace

int RunPaged(const Session& session, const v1::FetchRequest& request) {
  v1::FetchPagedRequest paged = session.invocation.paged;
  *paged.mutable_request() = request;
  TraceRequest(session, request);
  const CallOptions options{.deadline = session.invocation.deadline, .stop = session.stop};
  if (paged.has_items() && !session.invocation.whole_pages) {
    return Print(session, session.client.Items(std::move(paged), options));
  }
  return Print(session, session.client.Pages(std::move(paged), options));
}

}  // namespace fetchd::fetchctl
