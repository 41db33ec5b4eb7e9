// One attempt: a connection, and an exchange on it.
#pragma once

#include "engine/connection_pool.h"
#include "engine/service.h"
#include "http/http_limits.h"

namespace fetchd::server {

// The innermost service. Takes a lease, runs the exchange, and gives the connection back if it is proved clean.
class ExchangeLayer final : public Service {
 public:
  // Both outlive this.
  ExchangeLayer(ConnectionPool& pool, const HttpLimits& limits) : pool_(pool), limits_(limits) {}
  Task<AttemptOutcome> Call(FetchContext& context) override;

 private:
  ConnectionPool& pool_;
  const HttpLimits& limits_;
};

}  // namespace fetchd::server
