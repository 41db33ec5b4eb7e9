#include "absl/status/statusor.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/fetchctl.h"
#include "fetchctl/report.h"

namespace fetchd::fetchctl {

int RunGet(const Session& session, const v1::FetchRequest& request) {
  const Invocation& invocation = session.invocation;
  CallOptions options{.stop = session.stop};
  if (invocation.deadline.has_value()) {
    options.deadline = invocation.deadline;
  } else if (invocation.max_time.has_value()) {
    // fetchd itself keeps --max-time; this is for a fetchd that does not answer.
    options.deadline = *invocation.max_time + absl::Seconds(5);
  }
  TraceRequest(session, request);
  const absl::StatusOr<v1::FetchResponse> reply = session.client.Fetch(request, options);
  if (!reply.ok()) return ReportStatus(session, reply.status());
  if (invocation.json) {
    session.terminal.out << ToJson(*reply) << "\n";
    return session.terminal.out.flush() ? OutcomeCode(session, *reply) : kWriteLocal;
  }
  TraceFetch(session, reply->fetch_id(), reply->attempts());
  PrintTrace(session, reply->trace());

  const bool has_response = reply->has_response() || reply->error().has_partial_response();
  const v1::HttpResponse& response = reply->has_response() ? reply->response() : reply->error().partial_response();
  const int code = OutcomeCode(session, *reply);
  TraceRedirects(session, reply->has_response() ? response.redirects() : reply->error().redirects());
  if (has_response) TraceHead(session, response.status(), response.headers());
  if (has_response && code != kHttpError) {
    Output output;
    if (!output.Open(invocation.output, session.terminal)) {
      return Complain(session, kWriteLocal, "cannot write " + invocation.output);
    }
    if (invocation.include) PrintHead(output.stream(), response.status(), response.headers());
    output.stream() << response.body();
    if (!output.Close()) return Complain(session, kWriteLocal, "cannot write the body");
  }
  if (code == kHttpError) {
    return Complain(session, code, "the origin answered HTTP " + std::to_string(response.status()));
  }
  if (reply->has_error()) return ReportError(session, reply->error(), reply->fetch_id(), reply->attempts());
  return code;
}

}  // namespace fetchd::fetchctl
