// One HTTP/1.1 request and its response on one connection.
#pragma once

#include <cstdint>
#include <optional>

#include "http/body_io.h"
#include "http/http_limits.h"
#include "http/read_buffer.h"
#include "model/failure.h"
#include "model/request.h"
#include "net/transport.h"
#include "telemetry/records.h"

namespace fetchd::server {

// Says where a response goes: to the caller, which commits the fetch to it, or aside. Called once, with the final head.
class HeadJudge {
 public:
  virtual ~HeadJudge() = default;
  // The returned sink gets the response, head first. It outlives the exchange.
  virtual ResponseSink& OnHead(const ResponseHead& head) = 0;
};

// What an exchange is about. Everything referred to outlives it.
struct ExchangeRequest {
  // Method, URL, headers, body, timeouts (send_idle, first_byte, between_bytes, min rate) and body limit count.
  const FetchSpec& spec;
  // The streamed body, or null if spec.body is the body.
  RequestBody* body = nullptr;
  HeadJudge& judge;
  const HttpLimits& limits;
  // The connection has served another exchange.
  bool reused_connection = false;
};

// How an exchange ended.
struct ExchangeResult {
  // Unset: the response is complete, or cut as asked (`truncated`).
  std::optional<Failure> failure;
  bool truncated = false;
  Headers trailers;
  // 0 if the final head did not come.
  int status = 0;
  // The connection is proved clean: nothing of this exchange is left on it, and the origin keeps it open.
  bool reusable = false;
  // Body bytes sent, and body bytes given to the sink.
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
  // `send`, `wait` and `receive`, as far as the exchange came.
  PhaseTimes phases;
};

// Runs the exchange. `buffer` holds what was read from `transport` and belongs to it; it must be empty. Returns when
// nothing of the exchange is left running. If `scope` stops, the failure has its reason.
//
// - Head and body are written together; what the socket does not take at once, and streamed bodies, are written beside
//   the reading, so that an early response is handed on at once. A response that is complete before its request ends
//   the exchange.
// - With FetchSpec::expect_continue the body waits for 100 (Continue), for that time or for the final response, after
//   which it is never sent, and the connection is closed.
// - Bytes that a new connection brings before the request was sent end the exchange, and so does its end.
// - Bodies of known length and those that end with the connection are read straight into the sink's buffers; chunked
//   ones are copied once.
// - Without credit of the sink nothing is read, and no timeout but the scope's runs.
Task<ExchangeResult> RunExchange(Transport& transport, ReadBuffer& buffer, Executor executor, ExchangeRequest request,
                                 CancelScope& scope);

}  // namespace fetchd::server
