// What happened to one fetch, for a caller who asked for it (fetchd.v1 `explain`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/failure.h"
#include "model/ip_address.h"
#include "model/phase_times.h"

namespace fetchd::server {

// Numbers are those of fetchd.v1.Explain.
enum class Explain : uint8_t { kNone = 1, kSummary = 2, kFull = 3 };

// One try, or one that a policy refused before it left.
struct AttemptTrace {
  // From 1.
  int number = 0;
  // It was started while another one still ran.
  bool hedge = false;
  // Since the fetch began.
  Duration began{};
  Duration took{};
  // Unset if it never had a connection.
  std::optional<Endpoint> peer;
  // The name of the proxy that it went through, or tried to; empty: none.
  std::string proxy;
  bool reused_connection = false;
  // By HTTP/2; else, if there is a peer, by HTTP/1.1.
  bool http2 = false;
  PhaseTimes phases;
  // 0 if no response began.
  int status = 0;
  // Unset on a complete response.
  std::optional<FailureCode> failure;
  Phase failure_phase = Phase::kPolicy;
  std::optional<Processed> processed;
  // For people; empty without a failure.
  std::string detail;
};

// What a policy said.
struct DecisionTrace {
  // Since the fetch began.
  Duration at{};
  // The attempt it concerned, from 1; 0: the whole fetch.
  int attempt = 0;
  // Literals: which rule, such as "retry", "breaker", "rate_limit"; and its word, such as "wait" or "refused".
  std::string_view rule;
  std::string_view verdict;
  // For people: the figures that decided.
  std::string detail;
};

// Collected on the owner thread of the origin while the fetch runs; a value afterwards.
struct Trace {
  // `wanted` is not kNone.
  explicit Trace(Instant start, Explain wanted = Explain::kFull) : explain(wanted), began(start) {}

  // Says a decision at `now`.
  void Decide(Instant now, int attempt, std::string_view rule, std::string_view verdict, std::string detail = {}) {
    if (decisions.size() < kMaxDecisions)
      decisions.push_back(
          {.at = now - began, .attempt = attempt, .rule = rule, .verdict = verdict, .detail = std::move(detail)});
  }

  // Enough for ten attempts with all that can be said of each.
  static constexpr size_t kMaxDecisions = 256;

  // How much of it the caller is told.
  Explain explain;
  Instant began;
  std::vector<AttemptTrace> attempts;
  std::vector<DecisionTrace> decisions;
};

}  // namespace fetchd::server
