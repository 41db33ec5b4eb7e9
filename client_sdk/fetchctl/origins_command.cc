#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/fetchctl.h"
#include "fetchctl/flag_table.h"
#include "fetchctl/origin_text.h"
#include "fetchctl/report.h"

namespace fetchd::fetchctl {
namespace {

CallOptions OptionsOf(const Session& session, std::optional<absl::Duration> deadline) {
  CallOptions options{.stop = session.stop};
  options.deadline = session.invocation.deadline.has_value() ? session.invocation.deadline : deadline;
  return options;
}

void Print(const Session& session, const v1::Origin& origin) {
  session.terminal.out << (session.invocation.json ? ToJson(origin) : Text(origin)) << "\n";
}

int Flush(const Session& session, int code) {
  return session.terminal.out.flush() ? code : Complain(session, kWriteLocal, "cannot write to standard output");
}

int Watch(const Session& session) {
  v1::WatchOriginsRequest request;
  request.set_host_contains(session.invocation.host);
  for (absl::StatusOr<v1::WatchOriginsResponse>& message :
       session.client.WatchOrigins(request, OptionsOf(session, std::nullopt))) {
    if (!message.ok()) return ReportStatus(session, message.status());
    for (const v1::Origin& origin : message->origins()) Print(session, origin);
    for (const std::string& name : message->forgotten()) {
      // Names hold nothing that JSON would want escaped.
      session.terminal.out << (session.invocation.json ? absl::StrCat("{\"forgotten\":\"", name, "\"}")
                                                       : absl::StrCat(name, "\tforgotten"))
                           << "\n";
    }
    if (!session.terminal.out.flush()) return Flush(session, kOk);
  }
  return kOk;
}

}  // namespace

int RunOrigins(const Session& session) {
  if (session.invocation.watch) return Watch(session);
  for (absl::StatusOr<v1::Origin>& origin :
       session.client.Origins(session.invocation.host, OptionsOf(session, absl::Seconds(5)))) {
    if (!origin.ok()) return ReportStatus(session, origin.status());
    Print(session, *origin);
  }
  return Flush(session, kOk);
}

int RunCheck(const Session& session, const v1::FetchRequest& request) {
  v1::CheckUrlRequest question;
  question.set_url(request.url());
  question.set_method(request.method());
  question.set_profile(request.profile());
  if (request.has_transport()) *question.mutable_transport() = request.transport();
  const absl::StatusOr<v1::CheckUrlResponse> check =
      session.client.CheckUrl(question, OptionsOf(session, absl::Seconds(15)));
  if (!check.ok()) return ReportStatus(session, check.status());
  session.terminal.out << (session.invocation.json ? ToJson(*check) + "\n" : Text(request.url(), *check));
  int code = kOk;
  if (!check->dns_error().empty()) code = kDns;
  if (!check->allowed()) code = kDenied;
  if (check->verdict() == v1::CheckUrlResponse::VERDICT_REFUSED) code = kTryLater;
  return Flush(session, code);
}

int RunAdmin(const Session& session) {
  const Invocation& invocation = session.invocation;
  const CallOptions options = OptionsOf(session, absl::Seconds(5));
  absl::StatusOr<v1::Origin> origin;
  if (invocation.action == "reset") {
    origin = session.client.ResetOrigin(invocation.operand, options);
  } else if (invocation.action == "close") {
    origin = session.client.ForceClose(invocation.operand, options);
  } else {
    v1::ForceOpenRequest request;
    request.set_name(invocation.operand);
    if (invocation.open_time.has_value()) SetDuration(*invocation.open_time, *request.mutable_duration());
    origin = session.client.ForceOpen(request, options);
  }
  if (!origin.ok()) return ReportStatus(session, origin.status());
  Print(session, *origin);
  return Flush(session, kOk);
}

}  // namespace fetchd::fetchctl
