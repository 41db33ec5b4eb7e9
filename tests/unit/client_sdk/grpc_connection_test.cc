#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "fake_fetch_service.h"
#include "fetchd/client.h"
#include "fetchd/status_details.h"
#include "grpcpp/security/server_credentials.h"
#include "gtest/gtest.h"

namespace fetchd {
namespace {

v1::FetchRequest Request(const std::string& method, const std::string& url = "http://example.com/") {
  v1::FetchRequest request;
  request.set_method(method);
  request.set_url(url);
  return request;
}

// Returns once the caller has cancelled or its deadline has struck.
void AwaitCancel(const grpc::ServerContext* context) {
  while (!context->IsCancelled()) std::this_thread::yield();
}

class GrpcConnectionTest : public testing::Test {
 protected:
  Options MakeOptions() const {
    return {.endpoint = server_.address(),
            .caller = "tests",
            .retry = {.initial_backoff = absl::Milliseconds(1), .max_backoff = absl::Milliseconds(2)}};
  }

  FakeServer server_;
  Client client_{MakeConnection(MakeOptions())};
};

TEST_F(GrpcConnectionTest, FetchCarriesRequestReplyAndCaller) {
  server_.service.on_fetch = [](grpc::ServerContext* context, const v1::FetchRequest& request,
                                v1::FetchResponse* response) {
    const auto caller = context->client_metadata().find("fetchd-caller");
    EXPECT_NE(caller, context->client_metadata().end());
    EXPECT_EQ(caller->second, "tests");
    const auto agent = context->client_metadata().find("user-agent");
    EXPECT_TRUE(agent->second.starts_with("fetchd-cpp/"));
    response->mutable_response()->set_status(200);
    response->mutable_response()->set_body(request.url());
    return grpc::Status::OK;
  };
  const auto reply = client_.Get("http://example.com/a");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->response().body(), "http://example.com/a");
}

TEST_F(GrpcConnectionTest, StatusKeepsItsDetails) {
  server_.service.on_fetch = [](auto*, const auto&, auto*) {
    google::rpc::ErrorInfo info;
    info.set_reason("URL_FORBIDDEN");
    return StatusWith(grpc::StatusCode::PERMISSION_DENIED, "loopback address", {&info});
  };
  const absl::Status status = client_.Get("http://127.0.0.1/").status();
  EXPECT_EQ(DetailsOf(status).reason, "URL_FORBIDDEN");
  EXPECT_EQ(Describe(status), "PERMISSION_DENIED (URL_FORBIDDEN): loopback address");
}

TEST_F(GrpcConnectionTest, RepeatsIdempotentFetchesThatAreUnavailable) {
  std::atomic<int> calls = 0;
  server_.service.on_fetch = [&](auto*, const auto&, auto*) {
    return ++calls < 3 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining") : grpc::Status::OK;
  };
  EXPECT_TRUE(client_.Fetch(Request("GET")).ok());
  EXPECT_EQ(calls, 3);
}

TEST_F(GrpcConnectionTest, NeverRepeatsOthers) {
  std::atomic<int> calls = 0;
  server_.service.on_fetch = [&](auto*, const auto&, auto*) {
    ++calls;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection lost, who knows when");
  };
  EXPECT_EQ(client_.Fetch(Request("POST")).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(calls, 1);
}

TEST_F(GrpcConnectionTest, RepeatsNothingButUnavailable) {
  std::atomic<int> calls = 0;
  server_.service.on_fetch = [&](auto*, const auto&, auto*) {
    ++calls;
    return grpc::Status(grpc::StatusCode::INTERNAL, "bug");
  };
  EXPECT_EQ(client_.Fetch(Request("GET")).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(calls, 1);
}

TEST_F(GrpcConnectionTest, BatchIsRepeatedOnlyIfEveryItemMayBe) {
  std::atomic<int> calls = 0;
  server_.service.on_batch = [&](auto*, const auto&, auto*) {
    return ++calls < 2 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "") : grpc::Status::OK;
  };
  v1::FetchBatchRequest batch;
  *batch.add_requests() = Request("GET");
  EXPECT_EQ(client_.Batch(batch).Next(), std::nullopt);
  EXPECT_EQ(calls, 2);

  *batch.add_requests() = Request("POST");
  calls = 0;
  EXPECT_FALSE(client_.Batch(batch).Next()->ok());
  EXPECT_EQ(calls, 1);
}

TEST_F(GrpcConnectionTest, OneTcpConnectionServesBothKindsOfFetches) {
  std::mutex mutex;
  std::set<std::string> peers;
  server_.service.on_fetch = [&](grpc::ServerContext* context, const auto&, auto*) {
    const std::lock_guard lock(mutex);
    peers.insert(context->peer());
    return grpc::Status::OK;
  };
  EXPECT_TRUE(client_.Fetch(Request("GET")).ok());
  EXPECT_TRUE(client_.Fetch(Request("POST")).ok());
  EXPECT_EQ(peers.size(), 1u);
}

TEST_F(GrpcConnectionTest, UnreachableFetchdIsUnavailable) {
  Options options = MakeOptions();
  options.endpoint = "unix:/nonexistent/fetchd.sock";
  const Client nowhere(MakeConnection(options));
  EXPECT_EQ(nowhere.Get("http://example.com/").status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(GrpcConnectionTest, DeadlineOfTheCallWins) {
  server_.service.on_fetch = [](grpc::ServerContext* context, const auto&, auto*) {
    AwaitCancel(context);
    return grpc::Status::CANCELLED;
  };
  EXPECT_EQ(client_.Get("http://example.com/", {.deadline = absl::Milliseconds(20)}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(GrpcConnectionTest, DeadlinesComeFromOptions) {
  const auto remaining = [](grpc::ServerContext* context) {
    return context->deadline() - std::chrono::system_clock::now();
  };
  server_.service.on_fetch = [&](grpc::ServerContext* context, const auto&, auto*) {
    // gRPC rounds what it sends.
    EXPECT_LT(remaining(context), std::chrono::seconds(1100));
    EXPECT_GT(remaining(context), std::chrono::seconds(900));
    return grpc::Status::OK;
  };
  server_.service.on_batch = [&](grpc::ServerContext* context, const auto&, auto*) {
    EXPECT_GT(remaining(context), std::chrono::hours(24 * 365));
    return grpc::Status::OK;
  };
  Options options = MakeOptions();
  options.fetch_deadline = absl::Seconds(1000);
  const Client client(MakeConnection(options));
  EXPECT_TRUE(client.Get("http://example.com/").ok());
  EXPECT_EQ(client.Batch({}).Next(), std::nullopt);
}

TEST_F(GrpcConnectionTest, StopRequestCancelsAFetch) {
  std::stop_source stop;
  server_.service.on_fetch = [&](grpc::ServerContext* context, const auto&, auto*) {
    stop.request_stop();
    AwaitCancel(context);
    return grpc::Status::CANCELLED;
  };
  EXPECT_EQ(client_.Get("http://example.com/", {.stop = stop.get_token()}).status().code(),
            absl::StatusCode::kCancelled);
  // And one that is made when the stop has been requested already.
  EXPECT_EQ(client_.Get("http://example.com/", {.stop = stop.get_token()}).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(GrpcConnectionTest, DestroyingABatchEarlyCancelsTheRpc) {
  absl::Notification cancelled;
  server_.service.on_batch = [&](auto*, const auto&, grpc::ServerWriter<v1::FetchBatchResponse>* writer) {
    v1::FetchBatchResponse message;
    message.add_results();
    // Writes until nobody takes it.
    while (writer->Write(message)) {
    }
    cancelled.Notify();
    return grpc::Status::OK;
  };
  {
    auto range = client_.Batch({});
    EXPECT_TRUE(range.Next()->ok());
  }
  cancelled.WaitForNotification();
}

TEST_F(GrpcConnectionTest, DestroyingAListEarlyCancelsTheRpc) {
  absl::Notification cancelled;
  server_.service.on_paged = [&](auto*, const auto&, grpc::ServerWriter<v1::FetchPagedResponse>* writer) {
    v1::FetchPagedResponse message;
    message.mutable_items()->add_items("1");
    while (writer->Write(message)) {
    }
    cancelled.Notify();
    return grpc::Status::OK;
  };
  for (const auto& item : client_.Items({})) {
    EXPECT_EQ(*item, "1");
    break;
  }
  cancelled.WaitForNotification();
}

TEST_F(GrpcConnectionTest, DestroyingABodyReaderEarlyCancelsTheRpc) {
  absl::Notification cancelled;
  server_.service.on_stream = [&](auto*, auto* stream) {
    v1::FetchStreamResponse message;
    message.mutable_head()->set_status(200);
    stream->Write(message);
    message.set_chunk(std::string(1000, 'x'));
    while (stream->Write(message)) {
    }
    cancelled.Notify();
    return grpc::Status::OK;
  };
  {
    BodyReader reader = client_.Stream(Request("GET"));
    EXPECT_EQ(reader.head()->status(), 200u);
    EXPECT_TRUE(reader.Read().ok());
  }
  cancelled.WaitForNotification();
}

// Answers with head, then each chunk as it comes, then the tail.
grpc::Status Echo(grpc::ServerReaderWriter<v1::FetchStreamResponse, v1::FetchStreamRequest>* stream) {
  v1::FetchStreamRequest in;
  EXPECT_TRUE(stream->Read(&in));
  EXPECT_TRUE(in.has_start());
  v1::FetchStreamResponse out;
  out.mutable_head()->set_status(200);
  stream->Write(out);
  uint64_t bytes = 0;
  while (stream->Read(&in)) {
    out.set_chunk(in.chunk());
    bytes += in.chunk().size();
    if (!stream->Write(out)) return grpc::Status::CANCELLED;
  }
  out.mutable_tail()->set_body_bytes(bytes);
  stream->Write(out);
  return grpc::Status::OK;
}

TEST_F(GrpcConnectionTest, UploadAndDownloadRunSideBySide) {
  server_.service.on_stream = [](auto*, auto* stream) { return Echo(stream); };
  auto [writer, reader] = client_.Upload(Request("POST"));
  // More than gRPC's windows hold: without a reader at the same time this would wait for ever.
  const std::string piece(1 << 20, 'x');
  constexpr int kPieces = 16;
  std::thread sender([&, body = std::move(writer)]() mutable {
    for (int i = 0; i < kPieces; ++i) EXPECT_TRUE(body.Write(piece));
    EXPECT_TRUE(body.Close());
  });
  uint64_t bytes = 0;
  for (const auto& chunk : reader) bytes += chunk->size();
  sender.join();
  EXPECT_EQ(bytes, kPieces * piece.size());
  EXPECT_TRUE(reader.complete());
}

TEST_F(GrpcConnectionTest, WriteFailsWhenTheFetchHasEndedAlready) {
  server_.service.on_stream = [](auto*, auto* stream) {
    v1::FetchStreamResponse message;
    message.mutable_head()->set_status(413);
    stream->Write(message);
    message.mutable_tail();
    stream->Write(message);
    return grpc::Status::OK;
  };
  auto [writer, reader] = client_.Upload(Request("POST"));
  while (writer.Write("x")) {
  }
  EXPECT_EQ(reader.head()->status(), 413u);
  EXPECT_EQ(*reader.Read(), std::nullopt);
  EXPECT_TRUE(reader.complete());
}

TEST_F(GrpcConnectionTest, StopRequestCancelsAStream) {
  server_.service.on_stream = [](grpc::ServerContext* context, auto*) {
    AwaitCancel(context);
    return grpc::Status::CANCELLED;
  };
  std::stop_source stop;
  BodyReader reader = client_.Stream(Request("GET"), {.stop = stop.get_token()});
  stop.request_stop();
  EXPECT_EQ(reader.head(), nullptr);
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(GrpcConnectionTest, HealthFollowsTheServer) {
  EXPECT_TRUE(client_.CheckHealth().ok());
  server_.server().GetHealthCheckService()->SetServingStatus(false);
  EXPECT_EQ(client_.CheckHealth(), absl::FailedPreconditionError("NOT_SERVING"));
}

std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(GrpcConnectionTls, ServesOnlyClientsWithACertificate) {
  const std::filesystem::path dir =
      std::filesystem::path(testing::TempDir()) / ("fetchd_tls_" + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=fetchd "
      "-addext subjectAltName=IP:127.0.0.1 -keyout " +
      (dir / "key").string() + " -out " + (dir / "cert").string() + " 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string cert = Slurp(dir / "cert");
  const std::string key = Slurp(dir / "key");
  std::filesystem::remove_all(dir);

  grpc::SslServerCredentialsOptions server_options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  server_options.pem_root_certs = cert;
  server_options.pem_key_cert_pairs = {{key, cert}};
  FakeServer server(grpc::SslServerCredentials(server_options));
  server.service.on_fetch = [](auto*, const auto&, auto*) { return grpc::Status::OK; };

  Options options{.endpoint = server.address(),
                  .tls = TlsOptions{.root_certificates = cert, .certificate_chain = cert, .private_key = key},
                  .retry = {.max_attempts = 1}};
  const auto with = Client(MakeConnection(options)).Get("http://example.com/");
  EXPECT_TRUE(with.ok()) << with.status();

  options.tls = TlsOptions{.root_certificates = cert};
  EXPECT_EQ(Client(MakeConnection(options)).Get("http://example.com/").status().code(), absl::StatusCode::kUnavailable);
  options.tls = TlsOptions{};  // does not trust the server
  EXPECT_EQ(Client(MakeConnection(options)).Get("http://example.com/").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace fetchd
