#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fetchd/connection.h"
#include "fetchd/stream_range.h"
#include "gmock/gmock.h"

// Doubles for tests of code that uses fetchd::Client, without a server. Link fetchd::mocks.
namespace fetchd::mocks {

//   auto connection = std::make_shared<fetchd::mocks::MockConnection>();
//   EXPECT_CALL(*connection, Fetch).WillOnce(testing::Return(response));
//   CodeUnderTest(fetchd::Client(connection));
class MockConnection : public Connection {
 public:
  MOCK_METHOD(absl::StatusOr<v1::FetchResponse>, Fetch, (const v1::FetchRequest&, const CallOptions&), (override));
  MOCK_METHOD(StreamRange<v1::FetchBatchResponse>, FetchBatch, (const v1::FetchBatchRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(StreamRange<v1::FetchPagedResponse>, FetchPaged, (const v1::FetchPagedRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(std::unique_ptr<StreamCall>, FetchStream, (const v1::FetchStreamStart&, const CallOptions&), (override));
  MOCK_METHOD(absl::StatusOr<v1::CheckUrlResponse>, CheckUrl, (const v1::CheckUrlRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::ListOriginsResponse>, ListOrigins, (const v1::ListOriginsRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::GetOriginResponse>, GetOrigin, (const v1::GetOriginRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(StreamRange<v1::WatchOriginsResponse>, WatchOrigins, (const v1::WatchOriginsRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::ResetOriginResponse>, ResetOrigin, (const v1::ResetOriginRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::ForceOpenResponse>, ForceOpen, (const v1::ForceOpenRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(absl::StatusOr<v1::ForceCloseResponse>, ForceClose, (const v1::ForceCloseRequest&, const CallOptions&),
              (override));
  MOCK_METHOD(absl::Status, CheckHealth, (const CallOptions&), (override));
};

// A range of `values`, ended by `status` unless that is OK.
//
//   EXPECT_CALL(*connection, FetchBatch).WillOnce([&] { return MakeStreamRange<FetchBatchResponse>({first, second});
//   });
template <typename T>
StreamRange<T> MakeStreamRange(std::vector<T> values, absl::Status status = absl::OkStatus()) {
  return StreamRange<T>([values = std::move(values), status = std::move(status),
                         next = size_t{0}]() mutable -> std::optional<absl::StatusOr<T>> {
    if (next < values.size()) return std::move(values[next++]);
    if (status.ok()) return std::nullopt;
    return status;
  });
}

// What a ScriptedStreamCall was told; outlives it, so that a test can look afterwards.
struct StreamRecord {
  // The request body, all pieces together.
  std::string body;
  bool closed = false;
  bool cancelled = false;
};

// A FetchStream call that answers with `messages` and then `status`, whatever is written. One thread.
class ScriptedStreamCall : public StreamCall {
 public:
  explicit ScriptedStreamCall(std::vector<v1::FetchStreamResponse> messages, absl::Status status = absl::OkStatus(),
                              std::shared_ptr<StreamRecord> record = std::make_shared<StreamRecord>())
      : messages_(std::make_move_iterator(messages.begin()), std::make_move_iterator(messages.end())),
        status_(std::move(status)),
        record_(std::move(record)) {}

  bool Write(const v1::FetchStreamRequest& message) override {
    record_->body += message.chunk();
    return !record_->cancelled;
  }
  bool WritesDone() override {
    record_->closed = true;
    return !record_->cancelled;
  }
  bool Read(v1::FetchStreamResponse* message) override {
    if (messages_.empty() || record_->cancelled) return false;
    *message = std::move(messages_.front());
    messages_.pop_front();
    return true;
  }
  absl::Status Finish() override { return record_->cancelled ? absl::CancelledError("cancelled") : status_; }
  void Cancel() override { record_->cancelled = true; }

 private:
  std::deque<v1::FetchStreamResponse> messages_;
  absl::Status status_;
  std::shared_ptr<StreamRecord> record_;
};

// The usual answer: a head with `http_status`, the pieces of the body, a tail.
inline std::vector<v1::FetchStreamResponse> StreamMessages(uint32_t http_status,
                                                           const std::vector<std::string>& pieces) {
  std::vector<v1::FetchStreamResponse> messages(1);
  messages[0].mutable_head()->set_status(http_status);
  uint64_t bytes = 0;
  for (const std::string& piece : pieces) {
    messages.emplace_back().set_chunk(piece);
    bytes += piece.size();
  }
  messages.emplace_back().mutable_tail()->set_body_bytes(bytes);
  return messages;
}

}  // namespace fetchd::mocks
