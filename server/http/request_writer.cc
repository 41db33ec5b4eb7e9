#include "http/request_writer.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

// One chunk carries at most this much, so that its length is known when its header is written.
constexpr size_t kMaxChunk = 1024 * 1024;

}  // namespace

RequestWriter::RequestWriter(Transport& transport, const FetchSpec& spec, RequestBody* body, CancelScope& parent,
                             Observer& observer)
    : transport_(transport),
      spec_(spec),
      body_(body),
      observer_(observer),
      scope_(parent, kNever, FailureCode::kConnectionWriteTimeout),
      framing_(body != nullptr ? RequestFraming::OfStream(body->length()) : RequestFraming::OfBody(spec)) {}

bool RequestWriter::Begin() {
  if (!AppendRequestHead(spec_, framing_, head_)) return false;
  head_left_ = head_;
  if (body_ == nullptr) body_left_ = spec_.body;
  if (ExpectsContinue(spec_, framing_)) hold_ = Hold::kWaiting;
  return true;
}

Task<void> RequestWriter::WriteFirst() {
  if (Gather() == Next::kFailed) return {};
  // A first write seldom waits, so it has its deadline only if it does.
  Task<IoResult> write = transport_.WriteSome(std::span(pieces_.data(), piece_count_), scope_);
  if (!write.await_ready()) return WriteFirstSlowly(std::move(write));
  OnFirst(write.await_resume());
  return {};
}

Task<void> RequestWriter::WriteFirstSlowly(Task<IoResult> write) {
  scope_.SetDeadline(After(scope_.Now(), spec_.timeouts.send_idle));
  const IoResult result = co_await write;
  OnFirst(result);
}

void RequestWriter::OnFirst(const IoResult& result) {
  OnWritten(result);
  // Looks at once whether that was all, so that a request without a streamed body needs no second coroutine.
  if (!failed() && body_ == nullptr && head_left_.empty() && body_left_.empty()) complete_ = true;
}

Task<void> RequestWriter::Run(Executor executor) {
  while (!failed()) {
    Next next = Gather();
    if (next == Next::kEnd) complete_ = true;
    if (next == Next::kEnd || next == Next::kFailed) break;
    if (next == Next::kHeld) {
      co_await AwaitContinue(executor);
      if (stopping_) co_return;
      if (scope_.stopped()) Fail(scope_.reason(), "sending stopped", true);
      continue;
    }
    if (next == Next::kWait) {
      // Waiting for the caller is not the origin's fault: only the parent's deadlines run.
      scope_.SetDeadline(kNever);
      bool readable = co_await body_->Readable().Wait(scope_);
      if (stopping_) co_return;
      if (!readable) Fail(scope_.reason(), "sending stopped", true);
      continue;
    }
    co_await WriteOnce();
    if (stopping_) co_return;
  }
  observer_.OnWritten();
}

Task<void> RequestWriter::AwaitContinue(Executor executor) {
  scope_.SetDeadline(kNever);
  Event released(std::move(executor));
  released_ = &released;
  {
    CancelScope wait(scope_, After(scope_.Now(), spec_.expect_continue), FailureCode::kInternal);
    while (hold_ == Hold::kWaiting && !wait.stopped()) co_await released.Wait(wait);
  }
  while (hold_ == Hold::kKept && !scope_.stopped()) co_await released.Wait(scope_);
  // An origin that says nothing may not know of 100 (Continue), so the wait is bounded (RFC 9110 section 10.1.1).
  hold_ = Hold::kNo;
  released_ = nullptr;
}

void RequestWriter::Release() {
  if (hold_ != Hold::kWaiting) return;
  hold_ = Hold::kNo;
  if (released_ != nullptr) released_->Set();
}

void RequestWriter::KeepBody() {
  if (hold_ != Hold::kWaiting) return;
  hold_ = Hold::kKept;
  if (released_ != nullptr) released_->Set();
}

void RequestWriter::Stop() {
  stopping_ = true;
  scope_.Cancel(FailureCode::kCancelled);
}

RequestWriter::Next RequestWriter::Gather() {
  piece_count_ = 0;
  auto add = [this](std::string_view s) {
    if (!s.empty()) pieces_[piece_count_++] = asio::const_buffer(s.data(), s.size());
  };
  add(head_left_);
  if (hold_ != Hold::kNo) return piece_count_ > 0 ? Next::kWrite : Next::kHeld;
  if (body_ == nullptr) {
    add(body_left_);
    return piece_count_ > 0 ? Next::kWrite : Next::kEnd;
  }
  Next stream = GatherStream();
  if (stream == Next::kFailed) return stream;
  if (framing_.kind == RequestFraming::Kind::kChunked) {
    add(chunk_header_left_);
    add(piece_.substr(0, chunk_data_left_));
    if (piece_.size() >= chunk_data_left_) add(chunk_end_left_);
  } else {
    add(piece_);
  }
  return piece_count_ > 0 ? Next::kWrite : stream;
}

RequestWriter::Next RequestWriter::GatherStream() {
  piece_ = {};
  const bool chunked = framing_.kind == RequestFraming::Kind::kChunked;
  // The rest of a chunk whose data is gone already.
  if (chunked && chunk_data_left_ == 0 && !chunk_end_left_.empty()) return Next::kWrite;
  if (last_chunk_begun_) return Next::kEnd;
  switch (body_->Peek(piece_)) {
    case RequestBody::State::kWait:
      piece_ = {};
      return Next::kWait;
    case RequestBody::State::kFailed:
      piece_ = {};
      Fail(FailureCode::kCancelled, "the caller broke off the request body", true);
      return Next::kFailed;
    case RequestBody::State::kEnd:
      piece_ = {};
      if (chunked) {
        last_chunk_begun_ = true;
        chunk_header_left_ = "0\r\n\r\n";
        return Next::kWrite;
      }
      if (body_bytes_ < framing_.length) {
        Fail(
            FailureCode::kHttpRequestBodySize,
            absl::StrCat("the request body ended after ", body_bytes_, " of the announced ", framing_.length, " bytes"),
            true);
        return Next::kFailed;
      }
      return Next::kEnd;
    case RequestBody::State::kData:
      break;
  }
  if (chunked) {
    if (chunk_data_left_ == 0) {
      chunk_data_left_ = std::min(piece_.size(), kMaxChunk);
      int n = std::snprintf(chunk_header_.data(), chunk_header_.size(), "%zx\r\n", chunk_data_left_);
      chunk_header_left_ = {chunk_header_.data(), static_cast<size_t>(n)};
      chunk_end_left_ = "\r\n";
    }
  } else if (piece_.size() > framing_.length - body_bytes_) {
    Fail(FailureCode::kHttpRequestBodySize,
         absl::StrCat("the request body is longer than the announced ", framing_.length, " bytes"), true);
    return Next::kFailed;
  }
  return Next::kWrite;
}

Task<void> RequestWriter::WriteOnce() {
  scope_.SetDeadline(After(scope_.Now(), spec_.timeouts.send_idle));
  const IoResult result = co_await transport_.WriteSome(std::span(pieces_.data(), piece_count_), scope_);
  OnWritten(result);
}

void RequestWriter::OnWritten(const IoResult& r) {
  if (r.ok()) return Account(r.n);
  switch (r.kind) {
    case IoResult::Kind::kStopped:
      Fail(scope_.reason(),
           scope_.reason() == FailureCode::kConnectionWriteTimeout
               ? absl::StrCat("the origin took no byte of the request within ", ToSeconds(spec_.timeouts.send_idle),
                              " s")
               : "sending the request was stopped",
           true);
      break;
    case IoResult::Kind::kReset:
    case IoResult::Kind::kEof:
    case IoResult::Kind::kTruncatedTls:
      Fail(FailureCode::kConnectionTerminated, "the origin broke the connection while the request was sent", false);
      break;
    default:
      Fail(FailureCode::kConnectionTerminated, absl::StrCat("sending failed: ", r.ec.message()), false);
  }
}

void RequestWriter::Account(size_t n) {
  any_byte_sent_ = any_byte_sent_ || n > 0;
  auto take = [&n](std::string_view& left) {
    size_t taken = std::min(n, left.size());
    left.remove_prefix(taken);
    n -= taken;
    return taken;
  };
  take(head_left_);
  if (body_ == nullptr) {
    body_bytes_ += take(body_left_);
    return;
  }
  const bool chunked = framing_.kind == RequestFraming::Kind::kChunked;
  if (chunked) take(chunk_header_left_);
  std::string_view data = chunked ? piece_.substr(0, chunk_data_left_) : piece_;
  size_t sent = take(data);
  if (chunked) chunk_data_left_ -= sent;
  if (sent > 0) {
    body_bytes_ += sent;
    body_->Consume(sent);
    piece_ = {};
  }
  if (chunked) take(chunk_end_left_);
}

void RequestWriter::Fail(FailureCode code, std::string detail, bool fatal) {
  failure_ = Failure{.code = code, .phase = Phase::kSend, .processed = Processed::kMaybe, .detail = std::move(detail)};
  fatal_ = fatal;
}

}  // namespace fetchd::server
