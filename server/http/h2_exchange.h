// One HTTP/2 request and its response on one stream.
#pragma once

#include "http/exchange.h"
#include "http/h2_session.h"

namespace fetchd::server {

// RunExchange (http/exchange.h) on a stream of `session`, with the same meaning of all fields of request and result.
// `reusable` says nothing here: the session knows itself what it is still good for. If the session takes no stream any
// more, the failure is kHttp2StreamRefused with processed kNo.
Task<ExchangeResult> RunH2Exchange(H2Session& session, Executor executor, ExchangeRequest request, CancelScope& scope);

}  // namespace fetchd::server
