#include "fetchctl/trace.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace fetchd::fetchctl {
namespace {

double Seconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) + static_cast<double>(duration.nanos()) / 1e9;
}

std::string PhasesText(const v1::PhaseTimes& phases) {
  std::vector<std::string> parts;
  const auto add = [&](const char* name, bool has, const google::protobuf::Duration& time) {
    if (has) parts.push_back(absl::StrCat(name, " ", Text(time)));
  };
  add("queue", phases.has_queue(), phases.queue());
  add("dns", phases.has_dns(), phases.dns());
  add("connect", phases.has_connect(), phases.connect());
  add("proxy", phases.has_proxy(), phases.proxy());
  add("tls", phases.has_tls(), phases.tls());
  add("send", phases.has_send(), phases.send());
  add("wait", phases.has_wait(), phases.wait());
  add("receive", phases.has_receive(), phases.receive());
  return absl::StrJoin(parts, ", ");
}

std::string AttemptText(const v1::Attempt& attempt) {
  std::string text = absl::StrCat("attempt ", attempt.number(), attempt.hedge() ? " (hedge): " : ": ");
  if (attempt.error() != v1::ERROR_CODE_UNSPECIFIED) {
    absl::StrAppend(&text, Summary(attempt.error(), attempt.phase()));
    if (attempt.status() != 0) absl::StrAppend(&text, " after HTTP ", attempt.status());
  } else if (attempt.status() != 0) {
    absl::StrAppend(&text, "HTTP ", attempt.status());
  } else {
    absl::StrAppend(&text, "cancelled");
  }
  if (!attempt.address().empty()) absl::StrAppend(&text, " from ", attempt.address());
  if (!attempt.proxy().empty()) absl::StrAppend(&text, " by proxy ", attempt.proxy());
  absl::StrAppend(&text, " in ", Text(attempt.took()));
  std::string aside = attempt.reused_connection() ? "reused connection" : "";
  const std::string phases = PhasesText(attempt.phases());
  if (!aside.empty() && !phases.empty()) aside += "; ";
  aside += phases;
  if (!aside.empty()) absl::StrAppend(&text, " (", aside, ")");
  if (!attempt.message().empty()) absl::StrAppend(&text, ": ", attempt.message());
  return text;
}

std::string DecisionText(const v1::Decision& decision) {
  std::string text = decision.attempt() == 0 ? std::string() : absl::StrCat("attempt ", decision.attempt(), ": ");
  absl::StrAppend(&text, decision.rule(), ": ", decision.verdict());
  if (!decision.detail().empty()) absl::StrAppend(&text, ", ", decision.detail());
  return text;
}

}  // namespace

std::string Text(const google::protobuf::Duration& duration) {
  const double seconds = Seconds(duration);
  const double size = seconds < 0 ? -seconds : seconds;
  // Rounded to three digits, 999.96 ms would be 1e+03.
  if (size >= 999.5) return absl::StrFormat("%.0f s", seconds);
  if (size >= 0.9995) return absl::StrFormat("%.3g s", seconds);
  if (size >= 0.0009995) return absl::StrFormat("%.3g ms", seconds * 1e3);
  return absl::StrFormat("%.3g us", seconds * 1e6);
}

std::string Summary(v1::ErrorCode code, v1::Phase phase) {
  std::string text = v1::ErrorCode_Name(code);
  // Of a newer fetchd.
  if (text.empty()) text = absl::StrCat("error ", static_cast<int>(code));
  if (phase != v1::PHASE_UNSPECIFIED)
    absl::StrAppend(&text, " in ", absl::AsciiStrToLower(absl::StripPrefix(v1::Phase_Name(phase), "PHASE_")));
  return text;
}

std::string Text(const v1::Trace& trace) {
  std::vector<std::pair<double, std::string>> lines;
  // An attempt's line stands where it ended: before the decisions that its end led to.
  for (const v1::Attempt& attempt : trace.attempts())
    lines.emplace_back(Seconds(attempt.began()) + Seconds(attempt.took()), AttemptText(attempt));
  for (const v1::Decision& decision : trace.decisions())
    lines.emplace_back(Seconds(decision.at()), DecisionText(decision));
  std::stable_sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& [at, line] : lines) absl::StrAppend(&text, absl::StrFormat("* %9.1f ms  ", at * 1e3), line, "\n");
  return text;
}

}  // namespace fetchd::fetchctl
