#pragma once

#include <fstream>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "fetchctl/fetchctl.h"
#include "google/protobuf/message.h"

namespace fetchd::fetchctl {

// The place that -o names. After Open, write to stream(); Close says whether all of it arrived.
class Output {
 public:
  // Opens `path`, or takes `terminal.out` for "" and "-". False: it cannot be opened.
  bool Open(const std::string& path, Terminal& terminal);
  std::ostream& stream() { return *stream_; }
  bool Close();

 private:
  std::ofstream file_;
  std::ostream* stream_ = nullptr;
};

// "fetchctl: (CODE) MESSAGE" on standard error, unless silent. Returns `code`.
int Complain(const Session& session, int code, const std::string& message);

// A remark on standard error, unless silent.
void Note(const Session& session, const std::string& message);

// The RPC failed: says why, also as {"rpcError": ...} with --json, and returns the exit code.
int ReportStatus(const Session& session, const absl::Status& status);

// A fetch brought no complete response: says why and returns the exit code.
int ReportError(const Session& session, const v1::FetchError& error, const std::string& fetch_id, uint32_t attempts);

// `message` as one line of protobuf JSON.
std::string ToJson(const google::protobuf::Message& message);

// "HTTP 200" and the headers, as -i shows them.
void PrintHead(std::ostream& out, uint32_t status, const google::protobuf::RepeatedPtrField<v1::Header>& headers);

// With -v: the request, and what came back, as curl shows them. Secrets are masked.
void TraceRequest(const Session& session, const v1::FetchRequest& request);
void TraceRedirects(const Session& session, const google::protobuf::RepeatedPtrField<v1::Redirect>& redirects);
void TraceHead(const Session& session, uint32_t status, const google::protobuf::RepeatedPtrField<v1::Header>& headers);
void TraceFetch(const Session& session, const std::string& fetch_id, uint32_t attempts);

// With --explain and without --json, which has it anyway: what happened, on standard error.
void PrintTrace(const Session& session, const v1::Trace& trace);

// "DNS_ERROR in dns", for one-line summaries.
std::string Summary(const v1::FetchError& error);

// The exit code of a finished fetch: 0, 22 with --fail, or that of its error.
int OutcomeCode(const Session& session, const v1::FetchResponse& reply);

}  // namespace fetchd::fetchctl
