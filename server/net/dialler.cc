#include "net/dialler.h"

#include <boost/asio/error.hpp>
#include <cstring>

namespace fetchd::server {
namespace {

asio::ip::tcp::endpoint ToAsio(const Endpoint& endpoint) {
  const auto& bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    asio::ip::address_v4::bytes_type v4;
    std::memcpy(v4.data(), bytes.data(), v4.size());
    return {asio::ip::address_v4(v4), endpoint.port};
  }
  asio::ip::address_v6::bytes_type v6;
  std::memcpy(v6.data(), bytes.data(), v6.size());
  return {asio::ip::address_v6(v6), endpoint.port};
}

}  // namespace

Task<Dialler::Result> TcpDialler::Dial(Endpoint endpoint, CancelScope& scope) {
  Result result{TcpSocket(executor_), {}};
  asio::ip::tcp::endpoint to = ToAsio(endpoint);
  result.socket.open(to.protocol(), result.ec);
  if (!result.ec) result.socket.non_blocking(true, result.ec);
  // Requests are written whole, so Nagle's algorithm could only hold back their ends.
  if (!result.ec) result.socket.set_option(asio::ip::tcp::no_delay(true), result.ec);
  if (result.ec) co_return result;
  if (scope.stopped()) {
    result.ec = asio::error::operation_aborted;
    co_return result;
  }
  CancelScope::StopHook hook(scope, [&result] {
    error_code ignored;
    result.socket.cancel(ignored);
  });
  auto [ec] = co_await result.socket.async_connect(to, kAsTask);
  result.ec = scope.stopped() ? asio::error::operation_aborted : ec;
  co_return result;
}

}  // namespace fetchd::server
