#include <benchmark/benchmark.h>

#include "guard/address_guard.h"
#include "guard/url_guard.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

const AddressGuard& Guard() {
  static const AddressGuard guard({.allow = {*Cidr::Parse("10.20.0.0/16"), *Cidr::Parse("fd00:1::/32")},
                                   .deny = {*Cidr::Parse("203.0.114.0/24")},
                                   .allow_proxies = {}});
  return guard;
}

void BM_UrlGuardOfName(benchmark::State& state) {
  const UrlGuard guard({}, Guard());
  const Url url = *Url::Parse("https://api.example.com/v1/things?page=2");
  for (auto _ : state) benchmark::DoNotOptimize(guard.Check(url).ok());
}
BENCHMARK(BM_UrlGuardOfName);

void BM_AddressGuard(benchmark::State& state, const char* text) {
  const IpAddress address = *IpAddress::Parse(text);
  for (auto _ : state) benchmark::DoNotOptimize(Guard().Check(address).allowed);
}
BENCHMARK_CAPTURE(BM_AddressGuard, public_v4, "93.184.216.34");
BENCHMARK_CAPTURE(BM_AddressGuard, public_v6, "2606:2800:220:1:248:1893:25c8:1946");
BENCHMARK_CAPTURE(BM_AddressGuard, allowed_private, "10.20.3.4");
BENCHMARK_CAPTURE(BM_AddressGuard, refused_metadata_service, "169.254.169.254");

}  // namespace
}  // namespace fetchd::server
