#include <benchmark/benchmark.h>

#include <string>

#include "http/http_limits.h"
#include "http/request_head.h"
#include "http/response_codec.h"
#include "model/request.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

constexpr char kUrl[] = "https://api.example.com/v1/things?page=2&per_page=100";

// What nginx says, and what an API behind a gateway says.
constexpr char kShortHead[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: 1024\r\nConnection: keep-alive\r\n\r\n";
std::string LongHead() {
  std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 1024\r\n";
  for (int i = 0; i < 24; ++i) head += "X-Gateway-Field-" + std::to_string(i) + ": a value of a middling length\r\n";
  return head + "\r\n";
}

void BM_ParseUrl(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Url::Parse(kUrl).ok());
}
BENCHMARK(BM_ParseUrl);

void BM_WriteRequestHead(benchmark::State& state) {
  FetchSpec spec;
  spec.url = *Url::Parse(kUrl);
  spec.headers.Add("authorization", "Bearer 0123456789abcdef0123456789abcdef");
  std::string out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(AppendRequestHead(spec, RequestFraming::OfBody(spec), out));
  }
}
BENCHMARK(BM_WriteRequestHead);

void ParseHead(benchmark::State& state, const std::string& head) {
  const HttpLimits limits;
  for (auto _ : state) {
    ResponseCodec codec(limits, false);
    size_t consumed = 0;
    if (codec.ParseHead(head, consumed) != ResponseCodec::HeadStep::kHead) state.SkipWithError("not a head");
    benchmark::DoNotOptimize(codec.TakeHead());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * head.size()));
}
void BM_ParseShortHead(benchmark::State& state) { ParseHead(state, kShortHead); }
BENCHMARK(BM_ParseShortHead);
void BM_ParseLongHead(benchmark::State& state) { ParseHead(state, LongHead()); }
BENCHMARK(BM_ParseLongHead);

void BM_ParseChunkedBody(benchmark::State& state) {
  const HttpLimits limits;
  std::string body;
  for (int i = 0; i < 16; ++i) body += "1000\r\n" + std::string(4096, 'x') + "\r\n";
  body += "0\r\n\r\n";
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (auto _ : state) {
    ResponseCodec codec(limits, false);
    size_t consumed = 0;
    codec.ParseHead(head, consumed);
    std::string_view left = body, piece;
    for (;;) {
      const ResponseCodec::Step step = codec.ParseChunked(left, consumed, piece);
      left.remove_prefix(consumed);
      if (step == ResponseCodec::Step::kDone) break;
      if (step != ResponseCodec::Step::kBody) {
        state.SkipWithError("not a body");
        break;
      }
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(BM_ParseChunkedBody);

}  // namespace
}  // namespace fetchd::server
