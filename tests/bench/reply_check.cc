#include "bench/reply_check.h"

#include <grpcpp/support/slice.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "peer.pb.h"

namespace fetchd::bench {
namespace {

constexpr long kParseEvery = 64;

// What all checks of the process share.
struct Shared {
  long calls = 0;
  size_t expected_bytes = 0;
  std::string marker;
  long marked_calls = 0;
};
Shared& TheShared() {
  static Shared shared;
  return shared;
}

std::string Flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

std::string WrongResponse(uint32_t status, size_t body_bytes, const Workload& work) {
  if (status != 200) return absl::StrCat("status ", status);
  if (work.rpc != Rpc::kPaged && body_bytes != work.body_bytes) return absl::StrCat("a body of ", body_bytes);
  return {};
}

// Empty, or why this is not the response that was to come.
std::string Wrong(const v1::FetchResponse& reply, const Workload& work) {
  if (reply.has_error()) {
    return absl::StrCat(v1::ErrorCode_Name(reply.error().code()), " ", reply.error().message());
  }
  return WrongResponse(reply.response().status(), reply.response().body().size(), work);
}
std::string Wrong(const fetchpeer::FetchResponse& reply, const Workload& work) {
  if (reply.status() == 0) return reply.error();
  return WrongResponse(reply.status(), reply.body().size(), work);
}
bool Failed(const v1::FetchResponse& reply) { return reply.error().code() == v1::CONNECTION_REFUSED; }
bool Failed(const fetchpeer::FetchResponse& reply) { return reply.status() == 0 && !reply.error().empty(); }

// One message, one fetch.
template <class Response>
class FetchCheck final : public ReplyCheck {
 public:
  explicit FetchCheck(const Workload& work) : ReplyCheck(work) {}

 private:
  void BeginParsing() override { wrong_ = "no reply"; }
  void Parse(const std::string& message) override {
    Response reply;
    wrong_ = reply.ParseFromString(message) ? Wrong(reply, work()) : "does not parse";
  }
  std::string EndParsing() override { return wrong_; }
  std::string LookAtLast(const grpc::ByteBuffer&) override { return {}; }

  std::string wrong_;
};

// Results of a batch, one for each index.
class BatchCheck : public ReplyCheck {
 public:
  explicit BatchCheck(const Workload& work) : ReplyCheck(work) {}

 protected:
  template <class Response>
  void Result(size_t index, const Response& reply) {
    if (index >= seen_.size() || seen_[index]) {
      wrong_ = absl::StrCat("a second or foreign result ", index);
      return;
    }
    seen_[index] = true;
    ++results_;
    if (index >= static_cast<size_t>(work().failing_items)) {
      std::string why = Wrong(reply, work());
      if (!why.empty()) wrong_ = absl::StrCat("result ", index, ": ", why);
    } else if (!Failed(reply)) {
      wrong_ = absl::StrCat("result ", index, " did not fail");
    }
  }
  void BeginParsing() override {
    seen_.assign(static_cast<size_t>(work().batch_items), false);
    results_ = 0;
    wrong_.clear();
  }
  std::string EndParsing() override {
    if (wrong_.empty() && results_ != work().batch_items) return absl::StrCat("only ", results_, " results");
    return wrong_;
  }
  std::string LookAtLast(const grpc::ByteBuffer&) override { return {}; }

 private:
  std::vector<bool> seen_;
  int results_ = 0;
  std::string wrong_;
};

class FetchdBatchCheck final : public BatchCheck {
 public:
  using BatchCheck::BatchCheck;

 private:
  void Parse(const std::string& message) override {
    v1::FetchBatchResponse reply;
    reply.ParseFromString(message);
    for (const auto& result : reply.results()) Result(result.index(), result.fetch());
  }
};

class PeerBatchCheck final : public BatchCheck {
 public:
  using BatchCheck::BatchCheck;

 private:
  void Parse(const std::string& message) override {
    fetchpeer::BatchResponse reply;
    reply.ParseFromString(message);
    size_t index = 0;
    for (const auto& result : reply.responses()) Result(index++, result);
  }
};

class FetchdStreamCheck final : public ReplyCheck {
 public:
  explicit FetchdStreamCheck(const Workload& work) : ReplyCheck(work) {}

 private:
  void BeginParsing() override {
    body_bytes_ = 0;
    wrong_ = "no head";
    tail_.Clear();
  }
  void Parse(const std::string& message) override {
    v1::FetchStreamResponse reply;
    reply.ParseFromString(message);
    if (reply.has_head()) wrong_ = reply.head().status() == 200 ? "" : absl::StrCat("status ", reply.head().status());
    body_bytes_ += reply.chunk().size();
    if (reply.has_tail()) tail_ = reply.tail();
  }
  std::string EndParsing() override {
    if (!wrong_.empty()) return wrong_;
    if (body_bytes_ != work().body_bytes) return absl::StrCat("chunks of ", body_bytes_);
    return WrongTail();
  }
  std::string LookAtLast(const grpc::ByteBuffer& message) override {
    v1::FetchStreamResponse reply;
    reply.ParseFromString(Flatten(message));
    tail_ = reply.tail();
    return WrongTail();
  }
  std::string WrongTail() const {
    if (tail_.has_error()) return tail_.error().message();
    if (tail_.body_bytes() != work().body_bytes) return absl::StrCat("a tail after ", tail_.body_bytes());
    return {};
  }

  size_t body_bytes_ = 0;
  std::string wrong_;
  v1::StreamTail tail_;
};

class PeerStreamCheck final : public ReplyCheck {
 public:
  explicit PeerStreamCheck(const Workload& work) : ReplyCheck(work) {}

 private:
  void BeginParsing() override {
    body_bytes_ = 0;
    status_ = 0;
  }
  void Parse(const std::string& message) override {
    fetchpeer::Chunk chunk;
    chunk.ParseFromString(message);
    if (chunk.status() != 0) status_ = chunk.status();
    body_bytes_ += chunk.data().size();
  }
  std::string EndParsing() override { return WrongResponse(status_, body_bytes_, work()); }
  std::string LookAtLast(const grpc::ByteBuffer&) override { return {}; }

  size_t body_bytes_ = 0;
  uint32_t status_ = 0;
};

class FetchdPagedCheck final : public ReplyCheck {
 public:
  explicit FetchdPagedCheck(const Workload& work) : ReplyCheck(work) {}

 private:
  void BeginParsing() override {
    items_ = 0;
    end_.Clear();
  }
  void Parse(const std::string& message) override {
    v1::FetchPagedResponse reply;
    reply.ParseFromString(message);
    items_ += static_cast<size_t>(reply.items().items_size());
    if (reply.has_end()) end_ = reply.end();
  }
  std::string EndParsing() override {
    if (items_ != ItemsWanted()) return absl::StrCat(items_, " items ", end_.error().message());
    return WrongEnd();
  }
  std::string LookAtLast(const grpc::ByteBuffer& message) override {
    v1::FetchPagedResponse reply;
    reply.ParseFromString(Flatten(message));
    end_ = reply.end();
    return WrongEnd();
  }
  size_t ItemsWanted() const { return work().urls.size() * static_cast<size_t>(work().items_per_page); }
  std::string WrongEnd() const {
    if (end_.reason() != v1::PagedEnd::REASON_LAST_PAGE) {
      return absl::StrCat(v1::PagedEnd::Reason_Name(end_.reason()), " ", end_.error().message());
    }
    if (end_.pages() != work().urls.size() || end_.items() != ItemsWanted()) {
      return absl::StrCat("ended after ", end_.pages(), " pages and ", end_.items(), " items");
    }
    return {};
  }

  size_t items_ = 0;
  v1::PagedEnd end_;
};

}  // namespace

void ReplyCheck::Begin() {
  // A stream's chunks are parsed in the first call only: copying 256 MiB would take the cores from the server.
  const long every = work_.rpc == Rpc::kStream ? 1L << 30 : kParseEvery;
  parsing_ = TheShared().calls++ % every == 0;
  marked_ = false;
  bytes_ = 0;
  last_.Clear();
  if (parsing_) BeginParsing();
}

void ReplyCheck::Take(const grpc::ByteBuffer& message) {
  bytes_ += message.Length();
  const std::string& marker = TheShared().marker;
  if (parsing_ || !marker.empty()) {
    const std::string bytes = Flatten(message);
    if (parsing_) Parse(bytes);
    if (!marker.empty() && bytes.find(marker) != std::string::npos) marked_ = true;
  }
  last_ = message;
}

std::string ReplyCheck::End() {
  Shared& shared = TheShared();
  if (marked_) ++shared.marked_calls;
  if (parsing_) {
    std::string wrong = EndParsing();
    if (wrong.empty() && shared.expected_bytes == 0) shared.expected_bytes = bytes_;
    return wrong;
  }
  if (shared.expected_bytes != 0) {
    const size_t expected = shared.expected_bytes;
    if (bytes_ * 20 < expected * 19 || bytes_ * 20 > expected * 21) {
      return absl::StrCat("a reply of ", bytes_, " bytes instead of ", expected);
    }
  }
  return LookAtLast(last_);
}

void ReplyCheck::CountMarker(std::string marker) { TheShared().marker = std::move(marker); }

long ReplyCheck::marked_calls() { return TheShared().marked_calls; }

void ReplyCheck::ForgetMarkedCalls() { TheShared().marked_calls = 0; }

std::unique_ptr<ReplyCheck> MakeReplyCheck(const Workload& work) {
  const bool fetchd = work.api == Api::kFetchd;
  switch (work.rpc) {
    case Rpc::kBatch:
      if (fetchd) return std::make_unique<FetchdBatchCheck>(work);
      return std::make_unique<PeerBatchCheck>(work);
    case Rpc::kStream:
      if (fetchd) return std::make_unique<FetchdStreamCheck>(work);
      return std::make_unique<PeerStreamCheck>(work);
    case Rpc::kPaged:
      if (fetchd) return std::make_unique<FetchdPagedCheck>(work);
      break;
    case Rpc::kFetch:
      if (fetchd) return std::make_unique<FetchCheck<v1::FetchResponse>>(work);
      break;
  }
  return std::make_unique<FetchCheck<fetchpeer::FetchResponse>>(work);
}

}  // namespace fetchd::bench
