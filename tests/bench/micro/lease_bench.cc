#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "engine/connection_pool.h"
#include "engine/origin_state.h"
#include "support/loop.h"
#include "support/scripted_connector.h"

namespace fetchd::server {
namespace {

// The request is a variable: g++ 12 loses temporaries that a co_await expression makes of braces.
Task<ConnectionPool::Result> Acquire(const FetchSpec& spec, CancelScope& attempt, OriginTable& origins,
                                     ConnectionPool& pool) {
  const ConnectionPool::Request request{.origin = origins.Get(spec.url.origin()),
                                        .spec = spec,
                                        .now = attempt.Now(),
                                        .wait_until = kNever,
                                        .fresh = false,
                                        .scope = attempt};
  co_return co_await pool.Acquire(request);
}

// A fetch's way to a kept connection and back: find the origin, take the newest idle connection, give it back.
Task<void> LeaseInTurn(benchmark::State& state, Loop& loop, OriginTable& origins, ConnectionPool& pool) {
  std::vector<FetchSpec> specs(static_cast<size_t>(state.range(0)));
  for (size_t i = 0; i < specs.size(); ++i) {
    specs[i].url = *Url::Parse("http://host-" + std::to_string(i) + ".example.com/");
    CancelScope attempt(loop.scope(), kNever, FailureCode::kAttemptTimeout);
    ConnectionPool::Result dialled = co_await Acquire(specs[i], attempt, origins, pool);
    dialled.lease.MarkReusable(attempt.Now());
  }
  size_t next = 0;
  for (auto _ : state) {
    CancelScope attempt(loop.scope(), kNever, FailureCode::kAttemptTimeout);
    ConnectionPool::Result result = co_await Acquire(specs[next++ % specs.size()], attempt, origins, pool);
    if (!result.lease || !result.lease.reused()) state.SkipWithError("no kept connection");
    result.lease.MarkReusable(attempt.Now());
  }
}

void BM_PickLease(benchmark::State& state) {
  Loop loop;
  Random random(1);
  ThreadMetrics metrics;
  ScriptedConnector connector(loop.executor());
  PolicySource policies;
  OriginTable origins({}, policies, 128, loop.clock(), loop.timers(), random, metrics);
  ConnectionPool pool({.max_total = 20'000}, loop.executor(), loop.clock(), loop.timers(), random, connector, origins,
                      metrics);
  loop.Run(LeaseInTurn(state, loop, origins, pool));
  pool.Close();
}
BENCHMARK(BM_PickLease)->Arg(1)->Arg(1000)->Arg(10'000);

}  // namespace
}  // namespace fetchd::server
