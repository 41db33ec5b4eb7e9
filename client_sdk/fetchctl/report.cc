#include "fetchctl/report.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/trace.h"
#include "fetchd/status_details.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace fetchd::fetchctl {
namespace {

bool IsSecret(const v1::Header& header) {
  constexpr std::array<const char*, 5> kSecrets = {"authorization", "cookie", "proxy-authorization", "set-cookie",
                                                   "x-api-key"};
  return header.sensitive() || std::any_of(kSecrets.begin(), kSecrets.end(), [&](const char* name) {
           return absl::EqualsIgnoreCase(header.name(), name);
         });
}

void TraceHeaders(const Session& session, const char* mark,
                  const google::protobuf::RepeatedPtrField<v1::Header>& headers) {
  for (const v1::Header& header : headers) {
    session.terminal.err << mark << header.name() << ": " << (IsSecret(header) ? "(secret)" : header.value()) << "\n";
  }
}

// A JSON string.
std::string Quoted(const std::string& text) {
  google::protobuf::Value value;
  value.set_string_value(text);
  return ToJson(value);
}

}  // namespace

bool Output::Open(const std::string& path, Terminal& terminal) {
  if (path.empty() || path == "-") {
    stream_ = &terminal.out;
    return true;
  }
  file_.open(path, std::ios::binary | std::ios::trunc);
  stream_ = &file_;
  return file_.is_open();
}

bool Output::Close() { return stream_->flush().good(); }

int Complain(const Session& session, int code, const std::string& message) {
  if (session.invocation.ShowsErrors()) session.terminal.err << "fetchctl: (" << code << ") " << message << "\n";
  return code;
}

void Note(const Session& session, const std::string& message) {
  if (!session.invocation.silent) session.terminal.err << "fetchctl: " << message << "\n";
}

int ReportStatus(const Session& session, const absl::Status& status) {
  const bool interrupted = session.stop.stop_requested();
  const int code = interrupted ? kInterrupted : ExitCodeOf(status);
  if (session.invocation.json) {
    std::string line = absl::StrCat("{\"rpcError\":{\"code\":\"", absl::StatusCodeToString(status.code()),
                                    "\",\"message\":", Quoted(std::string(status.message())));
    const StatusDetails details = DetailsOf(status);
    if (!details.reason.empty()) absl::StrAppend(&line, ",\"reason\":", Quoted(details.reason));
    session.terminal.out << line << "}}\n";
  }
  if (interrupted) return Complain(session, code, "interrupted");
  std::string message = absl::StrCat("fetchd at ", session.invocation.target, ": ", Describe(status));
  if (code == kUnavailable && DetailsOf(status).reason.empty()) {
    absl::StrAppend(&message, "\nIs fetchd running there? --target ADDRESS or FETCHD_TARGET names another one.");
  }
  return Complain(session, code, message);
}

std::string Summary(const v1::FetchError& error) { return Summary(error.code(), error.phase()); }

int ReportError(const Session& session, const v1::FetchError& error, const std::string& fetch_id, uint32_t attempts) {
  std::string message = absl::StrCat(Summary(error), ": ", error.message());
  if (attempts > 1) absl::StrAppend(&message, " [", attempts, " attempts]");
  if (!fetch_id.empty()) absl::StrAppend(&message, " [fetch ", fetch_id, "]");
  if (error.code() == v1::HTTP_RESPONSE_BODY_SIZE && session.invocation.command != kStream &&
      session.invocation.request.body_policy().max_bytes() == 0) {
    absl::StrAppend(&message, "\n'fetchctl stream' takes bodies of any size.");
  }
  return Complain(session, ExitCodeOf(error.code()), message);
}

std::string ToJson(const google::protobuf::Message& message) {
  std::string json;
  // Fails only for messages that cannot be in protobuf JSON at all; ours can.
  (void)google::protobuf::util::MessageToJsonString(message, &json);
  return json;
}

void PrintHead(std::ostream& out, uint32_t status, const google::protobuf::RepeatedPtrField<v1::Header>& headers) {
  out << "HTTP " << status << "\n";
  for (const v1::Header& header : headers) out << header.name() << ": " << header.value() << "\n";
  out << "\n";
}

void TraceRequest(const Session& session, const v1::FetchRequest& request) {
  if (!session.invocation.verbose) return;
  session.terminal.err << "* by way of fetchd at " << session.invocation.target << "\n> "
                       << (request.method().empty() ? "GET" : request.method()) << " " << request.url() << "\n";
  TraceHeaders(session, "> ", request.headers());
  if (!request.body().empty()) session.terminal.err << "> (" << request.body().size() << " bytes of body)\n";
}

void TraceRedirects(const Session& session, const google::protobuf::RepeatedPtrField<v1::Redirect>& redirects) {
  if (!session.invocation.verbose) return;
  for (const v1::Redirect& redirect : redirects)
    session.terminal.err << "* redirected by " << redirect.status() << " to " << redirect.url() << "\n";
}

void TraceHead(const Session& session, uint32_t status, const google::protobuf::RepeatedPtrField<v1::Header>& headers) {
  if (!session.invocation.verbose) return;
  session.terminal.err << "< HTTP " << status << "\n";
  TraceHeaders(session, "< ", headers);
}

void TraceFetch(const Session& session, const std::string& fetch_id, uint32_t attempts) {
  if (!session.invocation.verbose) return;
  session.terminal.err << "* fetch " << fetch_id << ", " << attempts << (attempts == 1 ? " attempt\n" : " attempts\n");
}

void PrintTrace(const Session& session, const v1::Trace& trace) {
  if (session.invocation.explain && !session.invocation.json) session.terminal.err << Text(trace);
}

int OutcomeCode(const Session& session, const v1::FetchResponse& reply) {
  if (reply.has_error()) return ExitCodeOf(reply.error().code());
  return session.invocation.fail && reply.response().status() >= 400 ? kHttpError : kOk;
}

}  // namespace fetchd::fetchctl
