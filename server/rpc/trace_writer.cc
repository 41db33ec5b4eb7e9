#include "rpc/trace_writer.h"

#include <chrono>
#include <optional>
#include <string>

namespace fetchd::server {
namespace {

void WritePhases(const PhaseTimes& phases, v1::PhaseTimes& into) {
  if (phases.queue) WriteDuration(*phases.queue, *into.mutable_queue());
  if (phases.dns) WriteDuration(*phases.dns, *into.mutable_dns());
  if (phases.connect) WriteDuration(*phases.connect, *into.mutable_connect());
  if (phases.proxy) WriteDuration(*phases.proxy, *into.mutable_proxy());
  if (phases.tls) WriteDuration(*phases.tls, *into.mutable_tls());
  if (phases.send) WriteDuration(*phases.send, *into.mutable_send());
  if (phases.wait) WriteDuration(*phases.wait, *into.mutable_wait());
  if (phases.receive) WriteDuration(*phases.receive, *into.mutable_receive());
}

void WriteAttempt(const AttemptTrace& attempt, bool full, v1::Attempt& into) {
  into.set_number(static_cast<uint32_t>(attempt.number));
  into.set_hedge(attempt.hedge);
  WriteDuration(attempt.began, *into.mutable_began());
  WriteDuration(attempt.took, *into.mutable_took());
  if (attempt.peer) into.set_address(attempt.peer->ToString());
  if (!attempt.proxy.empty()) into.set_proxy(attempt.proxy);
  into.set_reused_connection(attempt.reused_connection);
  if (attempt.peer) into.set_http_version(attempt.http2 ? v1::HTTP_VERSION_HTTP_2 : v1::HTTP_VERSION_HTTP_1_1);
  if (full) WritePhases(attempt.phases, *into.mutable_phases());
  into.set_status(static_cast<uint32_t>(attempt.status));
  // Those that are not in the proto have no place here either: the caller's cancel, and a hedge's loser.
  if (!attempt.failure || static_cast<int>(*attempt.failure) > kLastReportedFailureCode) return;
  // The numbers of the model's enums are those of the proto.
  into.set_error(static_cast<v1::ErrorCode>(*attempt.failure));
  into.set_phase(static_cast<v1::Phase>(attempt.failure_phase));
  if (attempt.processed) into.set_processed(static_cast<v1::Processed>(*attempt.processed));
  into.set_message(attempt.detail);
}

// Does it say no more than that the fetch went on as it would have without the rule?
bool IsQuiet(const DecisionTrace& decision) { return decision.rule == "policy" || decision.verdict == "trial"; }

}  // namespace

void WriteDuration(Duration duration, google::protobuf::Duration& into) {
  // Both parts have the sign of the whole.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  into.set_seconds(seconds.count());
  into.set_nanos(static_cast<int32_t>((duration - seconds).count()));
}

void WriteTime(WallTime time, google::protobuf::Timestamp& into) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  into.set_seconds(seconds.count());
  into.set_nanos(static_cast<int32_t>((since - seconds).count()));
}

void WriteTrace(const Trace& trace, v1::Trace& into) {
  const bool full = trace.explain == Explain::kFull;
  into.mutable_attempts()->Reserve(static_cast<int>(trace.attempts.size()));
  for (const AttemptTrace& attempt : trace.attempts) WriteAttempt(attempt, full, *into.add_attempts());
  for (const DecisionTrace& decision : trace.decisions) {
    if (!full && IsQuiet(decision)) continue;
    v1::Decision& out = *into.add_decisions();
    WriteDuration(decision.at, *out.mutable_at());
    out.set_attempt(static_cast<uint32_t>(decision.attempt));
    out.set_rule(std::string(decision.rule));
    out.set_verdict(std::string(decision.verdict));
    out.set_detail(decision.detail);
  }
}

}  // namespace fetchd::server
