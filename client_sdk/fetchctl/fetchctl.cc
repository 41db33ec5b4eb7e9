#include "fetchctl/fetchctl.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "fetchctl/exit_code.h"
#include "fetchctl/input.h"
#include "fetchctl/report.h"
#include "fetchd/options.h"

namespace fetchd::fetchctl {
namespace {

absl::StatusOr<Options> ConnectionOptions(const Invocation& invocation, Terminal& terminal) {
  Options options;
  options.endpoint = invocation.target;
  options.caller = invocation.caller;
  if (!invocation.tls) return options;
  options.tls.emplace();
  const std::pair<const std::string&, std::string&> files[] = {
      {invocation.tls_ca_file, options.tls->root_certificates},
      {invocation.tls_cert_file, options.tls->certificate_chain},
      {invocation.tls_key_file, options.tls->private_key}};
  for (const auto& [path, content] : files) {
    if (path.empty()) continue;
    absl::StatusOr<std::string> read = ReadAll(path, terminal);
    if (!read.ok()) return read.status();
    content = *std::move(read);
  }
  return options;
}

int RunHealth(const Session& session) {
  const absl::Status status = session.client.CheckHealth(
      {.deadline = session.invocation.deadline.value_or(absl::Seconds(5)), .stop = session.stop});
  if (!status.ok() && status.code() != absl::StatusCode::kFailedPrecondition) return ReportStatus(session, status);
  const std::string answer = status.ok() ? "SERVING" : std::string(status.message());
  if (session.invocation.json) {
    session.terminal.out << "{\"status\":\"" << answer << "\"}\n";
  } else if (!session.invocation.silent) {
    session.terminal.out << answer << "\n";
  }
  session.terminal.out.flush();
  return status.ok() ? kOk : kNotServing;
}

}  // namespace

int Run(const std::vector<std::string>& arguments, const Environment& environment, Terminal& terminal,
        std::stop_token stop) {
  const absl::StatusOr<Invocation> parsed = Parse(arguments, environment);
  if (!parsed.ok()) {
    terminal.err << "fetchctl: " << parsed.status().message() << "\nTry 'fetchctl --help'.\n";
    return kUsage;
  }
  if (parsed->version) {
    terminal.out << "fetchctl " FETCHD_SDK_VERSION "\n" << std::flush;
    return kOk;
  }
  if (parsed->help) {
    terminal.out << HelpText(parsed->command) << std::flush;
    return kOk;
  }
  const absl::StatusOr<Options> options = ConnectionOptions(*parsed, terminal);
  // Until there is a client, complaints need none.
  const Client none(nullptr);
  if (!options.ok()) {
    return Complain({*parsed, none, terminal, stop}, kReadLocal, std::string(options.status().message()));
  }
  const Client client(MakeConnection(*options));
  const Session session{*parsed, client, terminal, std::move(stop)};

  v1::FetchRequest request = parsed->request;
  absl::StatusOr<std::string> body = JoinData(parsed->data, terminal);
  if (!body.ok()) return Complain(session, kReadLocal, std::string(body.status().message()));
  request.set_body(*std::move(body));
  switch (parsed->command) {
    case kGet:
      return RunGet(session, request);
    case kBatch:
      return RunBatch(session, request);
    case kStream:
      return RunStream(session, request);
    case kPaged:
      return RunPaged(session, request);
    case kCheck:
      return RunCheck(session, request);
    case kOrigins:
      return RunOrigins(session);
    case kAdmin:
      return RunAdmin(session);
    default:
      return RunHealth(session);
  }
}

}  // namespace fetchd::fetchctl
