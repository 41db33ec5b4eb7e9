// The awaitable call that layers wrap.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/origin_state.h"
#include "http/exchange.h"
#include "model/failure.h"
#include "model/request.h"
#include "model/trace.h"
#include "net/cancel_scope.h"
#include "net/task.h"
#include "policy/circuit_breaker.h"
#include "policy/resume.h"
#include "telemetry/records.h"

namespace fetchd::server {

class Resumer;

// One fetch on its way through the layers of its owner thread. Lives in the frame of Fetcher's coroutine.
struct FetchContext {
  FetchContext(const FetchSpec& wanted, RequestBody* streamed, ResponseSink& caller, OriginState& state,
               CancelScope& whole)
      : spec(wanted), body(streamed), sink(caller), origin(state), scope(&whole) {}

  // What is wanted. Outlive the call.
  const FetchSpec& spec;
  RequestBody* body;
  ResponseSink& sink;
  OriginState& origin;
  // The right to go on: of the fetch at first, then as narrowed by each layer for those below it.
  CancelScope* scope;

  // For one attempt, set by the retry layer.
  HeadJudge* judge = nullptr;
  bool fresh_connection = false;
  // It runs beside another attempt.
  bool is_hedge = false;
  // The breaker's leave to go, which may not stand any more after a wait.
  CircuitBreaker::Permit permit;
  // Until when the attempt may wait, at the gate and for a connection.
  Instant wait_until = kNever;
  // The last reading of the clock on the way of this fetch, which spares others another one. Who has waited, or ends an
  // attempt, sets it.
  Instant now;
  // Of one attempt, filled by those who do it.
  AttemptRecord record;
  // The address that the attempt was sent to. Unset if it was not.
  std::optional<Endpoint> peer;

  // Where what happens is noted; null unless the caller asked. Outlives the call.
  Trace* trace = nullptr;

  // Who goes on with its response should it break off after it was committed; null: nobody.
  Resumer* resumer = nullptr;
  // Of the committed response, if there is a resumer.
  ResumePoint resume_point;

  // Of the fetch so far; and those of them that RetryOptions::max_attempts counts.
  int attempts = 0;
  int counted_attempts = 0;
  // The origin's retry budget has been charged for the next attempt. The retry layer settles that.
  bool next_is_paid = false;
  // Its response went to `sink`; no other attempt may follow.
  bool committed = false;
  // Of the response that went to `sink`; 0 if none did.
  int status = 0;
  // When the origin said it would answer again.
  std::optional<WallTime> retry_at;
  // Body bytes sent, in all attempts.
  uint64_t request_bytes = 0;
};

// Notes a decision about the attempt at hand, if the caller wants to know; `detail` is called only then.
template <typename Detail>
void Note(FetchContext& context, Instant now, std::string_view rule, std::string_view verdict, Detail detail) {
  if (context.trace != nullptr) context.trace->Decide(now, context.attempts, rule, verdict, detail());
}

// What a service made of a fetch.
struct AttemptOutcome {
  // Unset: a response came, complete or cut as asked.
  std::optional<Failure> failure;
  bool truncated = false;
  Headers trailers;
  // Body bytes that went to a sink.
  uint64_t response_bytes = 0;
};

// A fetch or an attempt, as a coroutine. A layer is a Service that owns the next one and calls it. Belongs to one
// engine thread, serves all its fetches, so it keeps nothing of a fetch but in the frame of Call.
class Service {
 public:
  virtual ~Service() = default;
  // `context` outlives the call. Nothing of the fetch is left running when it returns.
  virtual Task<AttemptOutcome> Call(FetchContext& context) = 0;
};

// Asks for the rest of a committed response that broke off.
class Resumer {
 public:
  virtual ~Resumer() = default;
  // `broken` is how it ended, with a failure; the result is how the response ended in the end.
  virtual Task<AttemptOutcome> Resume(FetchContext& context, AttemptOutcome broken) = 0;
};

}  // namespace fetchd::server
