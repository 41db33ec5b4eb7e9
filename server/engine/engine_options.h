// What the engine can be told.
#pragma once

#include "engine/connection_pool.h"
#include "engine/origin_state.h"
#include "http/http_limits.h"
#include "net/dialing_connector.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "policy/policy_book.h"

namespace fetchd::server {

// Copied by Engine::Create. Limits on connections and origins hold for each engine thread.
struct EngineOptions {
  // Engine threads, 1 to 64. More of them pay only where origins are many and cores are idle.
  int threads = 1;
  // What holds for which origin; outlives the engine. Null: the defaults, for all of them.
  const PolicySource* policies = nullptr;
  HttpLimits http;
  PoolOptions pool;
  OriginTable::Options origins;
  Resolver::Options resolver;
  DialingConnector::Options connector;
  TlsContext::Options tls;
};

}  // namespace fetchd::server
