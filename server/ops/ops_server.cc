#include "ops/ops_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Stream = beast::basic_stream<tcp, asio::io_context::executor_type>;
using Acceptor = asio::basic_socket_acceptor<tcp, asio::io_context::executor_type>;
template <typename T>
using Task = asio::awaitable<T, asio::io_context::executor_type>;
constexpr auto kAsTask = asio::as_tuple(asio::use_awaitable_t<asio::io_context::executor_type>{});

tcp::endpoint ToAsio(const Endpoint& endpoint) {
  const auto& bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    return {asio::ip::address_v4({bytes[0], bytes[1], bytes[2], bytes[3]}), endpoint.port};
  }
  return {asio::ip::address_v6(bytes), endpoint.port};
}

// An exception out of a coroutine is a bug.
void Rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

class BeastOpsServer : public OpsServer {
 public:
  BeastOpsServer(OpsOptions options, OpsPages pages)
      : options_(options), pages_(std::move(pages)), acceptor_(context_), endpoint_(options.listen) {}

  ~BeastOpsServer() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    const tcp::endpoint where = ToAsio(options_.listen);
    boost::system::error_code error;
    acceptor_.open(where.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && !options_.listen.address.is_v4()) acceptor_.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor_.bind(where, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen for the operator on ", options_.listen.ToString(), ": ", error.message()));
    }
    endpoint_.port = acceptor_.local_endpoint().port();
    asio::co_spawn(context_, Accept(), Rethrow);
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  const Endpoint& endpoint() const override { return endpoint_; }

 private:
  Task<void> Accept() {
    while (true) {
      auto [error, socket] = co_await acceptor_.async_accept(kAsTask);
      if (error == asio::error::operation_aborted) co_return;
      if (error || connections_ >= options_.max_connections) {
        // Out of descriptors, most likely: give the connections that are open the time to end.
        if (error) co_await Pause();
        continue;
      }
      ++connections_;
      asio::co_spawn(context_, Serve(Stream(std::move(socket))), Rethrow);
    }
  }

  Task<void> Pause() {
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                               asio::io_context::executor_type>
        timer(context_, std::chrono::milliseconds(100));
    co_await timer.async_wait(kAsTask);
  }

  Task<void> Serve(Stream stream) {
    beast::flat_buffer buffer(8192);
    bool keep = true;
    while (keep) {
      http::request_parser<http::empty_body> parser;
      parser.header_limit(8192);
      parser.body_limit(0);
      stream.expires_after(options_.timeout);
      const auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kAsTask);
      if (read_error) break;
      keep = parser.get().keep_alive();
      const http::response<http::string_body> response = Answer(parser.get());
      stream.expires_after(options_.timeout);
      const auto [write_error, written] = co_await http::async_write(stream, response, kAsTask);
      if (write_error) break;
    }
    boost::system::error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    --connections_;
  }

  http::response<http::string_body> Answer(const http::request<http::empty_body>& request) {
    http::response<http::string_body> response(http::status::ok, request.version());
    response.set(http::field::content_type, "text/plain; charset=utf-8");
    response.set(http::field::cache_control, "no-store");
    response.keep_alive(request.keep_alive());
    const std::string_view target(request.target().data(), request.target().size());
    const std::string_view path = target.substr(0, target.find('?'));
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      response.result(http::status::method_not_allowed);
      response.set(http::field::allow, "GET, HEAD");
      response.body() = "only GET and HEAD\n";
    } else if (path == "/metrics") {
      response.set(http::field::content_type, pages_.metrics_content_type);
      response.body() = pages_.metrics();
    } else if (path == "/livez") {
      response.body() = "ok\n";
    } else if (path == "/readyz") {
      const bool ready = pages_.ready();
      if (!ready) response.result(http::status::service_unavailable);
      response.body() = ready ? "ready\n" : "not ready\n";
    } else {
      response.result(http::status::not_found);
      response.body() = "there are /metrics, /livez and /readyz\n";
    }
    const size_t length = response.body().size();
    if (request.method() == http::verb::head) response.body().clear();
    response.content_length(length);
    return response;
  }

  const OpsOptions options_;
  OpsPages pages_;
  asio::io_context context_{1};
  Acceptor acceptor_;
  Endpoint endpoint_;
  size_t connections_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpsServer>> OpsServer::Start(OpsOptions options, OpsPages pages) {
  auto server = std::make_unique<BeastOpsServer>(options, std::move(pages));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

}  // namespace fetchd::server
