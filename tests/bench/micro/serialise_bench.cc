#include <benchmark/benchmark.h>

#include <string>

#include "fetch/collecting_call.h"
#include "rpc/batch_outbox.h"
#include "rpc/fetch_reply.h"
#include "rpc/raw_message.h"

namespace fetchd::server {
namespace {

Collected Response(size_t body_bytes) {
  Collected collected;
  collected.head.emplace();
  collected.head->status = 200;
  Headers& headers = collected.head->headers;
  headers.Add("server", "nginx/1.22.1");
  headers.Add("date", "Sun, 06 Nov 1994 08:49:37 GMT");
  headers.Add("content-type", "application/octet-stream");
  headers.Add("content-length", std::to_string(body_bytes));
  collected.body.assign(body_bytes, 'x');
  return collected;
}

// From what the engine collected to the bytes of a reply; what makes it anew for each round is a part of the figure.
void BM_SerialiseReply(benchmark::State& state) {
  for (auto _ : state) {
    Collected collected = Response(static_cast<size_t>(state.range(0)));
    MessageWriter message;
    FetchReply("0123456789abcdef", collected).Write(message);
    benchmark::DoNotOptimize(message.Take());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(BM_SerialiseReply)->Arg(1 << 10)->Arg(64 << 10);

// Of a batch: one message of as many results as were ready together.
void BM_SerialiseBatchReply(benchmark::State& state) {
  for (auto _ : state) {
    BatchOutbox outbox(false);
    for (int64_t i = 0; i < state.range(0); ++i) {
      Collected collected = Response(1024);
      outbox.Add(static_cast<size_t>(i), "0123456789abcdef", &collected);
    }
    benchmark::DoNotOptimize(outbox.Take());
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(BM_SerialiseBatchReply)->Arg(1)->Arg(100);

}  // namespace
}  // namespace fetchd::server
