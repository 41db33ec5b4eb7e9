#include "http/h2_exchange.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/text.h"
#include "http/h2_fields.h"
#include "http/rate_watch.h"

namespace fetchd::server {
namespace {

// Bytes that the caller has taken are consumed when they are this part of the window.
constexpr uint32_t kConsumeShare = 8;
// The sink is asked for so much room at a time, which small frames share.
constexpr size_t kRoom = 256 * 1024;

class Exchange final : private H2Stream {
 public:
  Exchange(H2Session& session, const Executor& executor, ExchangeRequest& request, CancelScope& scope)
      : session_(session),
        executor_(executor),
        request_(request),
        timeouts_(request.spec.timeouts),
        scope_(scope, kNever, FailureCode::kInternal),
        changed_(executor),
        upload_done_(executor),
        rate_(timeouts_.min_bytes_per_second),
        hold_(scope.timers(), [this] { Release(); }),
        window_(session.options().stream_window),
        body_left_(request.spec.body) {}

  static Task<ExchangeResult> Run(H2Session& session, Executor executor, ExchangeRequest request, CancelScope& scope) {
    Exchange exchange(session, executor, request, scope);
    exchange.started_ = scope.Now();
    if (scope.stopped()) {
      exchange.FailStopped();
    } else if (exchange.Begin()) {
      co_await exchange.Receive();
      // Nothing of a stream that has ended goes on without its exchange.
      exchange.session_.Detach(*exchange.id_, NGHTTP2_CANCEL);
      exchange.RecordPhases();
      if (exchange.uploading_) {
        exchange.upload_scope_->Cancel(FailureCode::kCancelled);
        CancelScope unstoppable(scope.clock(), scope.timers(), kNever, FailureCode::kInternal);
        while (exchange.uploading_) co_await exchange.upload_done_.Wait(unstoppable);
      }
    }
    co_return std::move(exchange.result_);
  }

 private:
  bool Begin() {
    const FetchSpec& spec = request_.spec;
    RequestFraming framing =
        request_.body != nullptr ? RequestFraming::OfStream(request_.body->length()) : RequestFraming::OfBody(spec);
    const bool has_body = request_.body != nullptr || !spec.body.empty();
    held_back_ = ExpectsContinue(spec, framing);
    const RequestFields fields(spec, framing);
    id_ = session_.Submit(fields.fields(), has_body, *this);
    if (!id_) {
      Fail(FailureCode::kHttp2StreamRefused, "the connection takes no more requests", Processed::kNo);
      result_.failure->reused_connection = request_.reused_connection;
      return false;
    }
    if (held_back_) hold_.Arm(After(started_, spec.expect_continue));
    if (!has_body)
      OnSent(started_);
    else
      Arm(started_);
    if (request_.body != nullptr) {
      upload_scope_.emplace(scope_, kNever, FailureCode::kInternal);
      uploading_ = true;
      Spawn(executor_, Upload(*this), [this](std::exception_ptr error) {
        if (error) End(FailureCode::kInternal, "sending the body threw");
        uploading_ = false;
        upload_done_.Set();
      });
    }
    return true;
  }

  // The body may go out.
  void Release() {
    hold_.Disarm();
    if (std::exchange(held_back_, false) && !ended_) session_.ResumeBody(*id_);
  }

  // The child coroutine that waits for the caller's pieces.
  static Task<void> Upload(Exchange& self) {
    while (!self.sent_ && !self.upload_scope_->stopped()) {
      const bool woken = co_await self.request_.body->Readable().Wait(*self.upload_scope_);
      if (!woken) break;
      if (!self.ended_ && !self.sent_) self.session_.ResumeBody(*self.id_);
    }
  }

  // Until the response is complete or nobody wants it any more.
  Task<void> Receive() {
    for (;;) {
      if (result_.failure || result_.truncated) co_return;
      if (!held_.empty()) {
        const size_t n = Give(std::string_view(held_).substr(held_from_));
        held_from_ += n;
        session_.Consume(*id_, n);
        CommitRoom();
        if (result_.failure || result_.truncated) co_return;
        if (held_from_ < held_.size()) {
          // Without credit no timeout runs but the fetch's.
          scope_.SetDeadline(kNever, FailureCode::kConnectionReadTimeout);
          const bool writable = co_await sink_->Writable().Wait(scope_);
          if (!writable) {
            FailStopped();
            co_return;
          }
          continue;
        }
        held_.clear();
        held_from_ = 0;
        session_.SetStalled(*id_, false);
        kept_pace_ = false;
        Arm(scope_.Now());
      }
      if (complete_) co_return;
      if (ended_) {
        FailEnded();
        co_return;
      }
      const bool woken = co_await changed_.Wait(scope_);
      if (!woken && !complete_ && !ended_) {
        FailStopped();
        co_return;
      }
    }
  }

  // --- from the session

  bool OnField(std::string_view name, std::string_view value) override {
    const HttpLimits& limits = request_.limits;
    if (name == ":status") {
      status_ = 0;
      std::from_chars(value.data(), value.data() + value.size(), status_);
      OnHeadProgress(session_.now());
      return true;
    }
    block_bytes_ += name.size() + value.size();
    if (head_given_) {
      if (block_bytes_ > limits.max_trailer_bytes || result_.trailers.size() >= limits.max_header_count) {
        End(FailureCode::kHttpResponseTrailerSectionSize, "the trailers are over the limit");
        return false;
      }
      result_.trailers.Add(name, value);
      return true;
    }
    if (name.size() + value.size() > limits.max_field_bytes || head_.headers.size() >= limits.max_header_count) {
      End(FailureCode::kHttpResponseHeaderSize, "a field of the head, or their number, is over the limit");
      return false;
    }
    if (block_bytes_ > limits.max_head_bytes) {
      End(FailureCode::kHttpResponseHeaderSectionSize, "the head is over the limit");
      return false;
    }
    head_.headers.Add(name, value);
    return true;
  }

  void OnFields(bool last) override {
    if (head_given_) {
      if (last) OnLast();
      return;
    }
    if (status_ < 100) return End(FailureCode::kHttpProtocolError, Concat("status ", status_));
    if (status_ < 200) {
      if (status_ == 101 || ++interim_ > request_.limits.max_interim_responses)
        return End(FailureCode::kHttpProtocolError,
                   status_ == 101 ? "status 101 without an upgrade" : "too many interim responses");
      if (status_ == 100) Release();
      head_ = {};
      block_bytes_ = 0;
      return;
    }
    // Who answers need not be told more.
    hold_.Disarm();
    if (status_ > 599) return End(FailureCode::kHttpProtocolError, Concat("status ", status_));
    head_given_ = true;
    block_bytes_ = 0;
    GiveHead(last);
    if (last) OnLast();
  }

  void OnData(std::string_view bytes) override {
    if (result_.failure || result_.truncated || ended_) return session_.Consume(*id_, bytes.size());
    came_ += bytes.size();
    size_t n = 0;
    if (held_.empty()) {
      n = Give(bytes);
      given_ += n;
      if (result_.failure || result_.truncated) return changed_.Set();
    }
    if (n == bytes.size()) return;
    if (held_from_ > held_.size() / 2) {
      held_.erase(0, held_from_);
      held_from_ = 0;
    }
    held_.append(bytes.substr(n));
    session_.SetStalled(*id_, true);
    changed_.Set();
  }

  void OnDataPause() override {
    const size_t given = std::exchange(given_, 0);
    const size_t came = std::exchange(came_, 0);
    if (!CommitRoom() || result_.failure || result_.truncated) return;
    const Instant now = session_.now();
    if (!rate_.OnRead(now, came)) return End(FailureCode::kMinRateTimeout, RateDetail());
    // In steps, as each costs a frame. What is left at the end goes with Detach.
    taken_ += given;
    if (taken_ >= window_ / kConsumeShare) session_.Consume(*id_, std::exchange(taken_, 0));
    Grow(given);
    if (held_.empty()) Arm(now);
  }

  void OnLast() override {
    CommitRoom();
    complete_ = true;
    changed_.Set();
  }

  void OnEnd(const H2StreamEnd& end) override {
    CommitRoom();
    ended_ = true;
    end_ = end;
    changed_.Set();
  }

  size_t OnWantBody(std::span<char> room, bool& last) override {
    if (held_back_) {
      stalled_on_caller_ = true;
      Arm(scope_.Now());
      return 0;
    }
    size_t n = 0;
    if (request_.body == nullptr) {
      n = std::min(room.size(), body_left_.size());
      std::memcpy(room.data(), body_left_.data(), n);
      body_left_.remove_prefix(n);
      last = body_left_.empty();
    } else {
      n = TakePieces(room, last);
    }
    result_.request_bytes += n;
    const Instant now = scope_.Now();
    if (last) {
      OnSent(now);
    } else {
      stalled_on_caller_ = n < room.size();
      Arm(now);
    }
    return n;
  }

  // --- its parts

  size_t TakePieces(std::span<char> room, bool& last) {
    size_t n = 0;
    while (n < room.size()) {
      std::string_view piece;
      switch (request_.body->Peek(piece)) {
        case RequestBody::State::kData: {
          const size_t k = std::min(piece.size(), room.size() - n);
          const uint64_t total = result_.request_bytes + n + k;
          if (const auto length = request_.body->length(); length && total > *length)
            return EndUpload(FailureCode::kHttpRequestBodySize, "the streamed body is longer than announced");
          std::memcpy(room.data() + n, piece.data(), k);
          request_.body->Consume(k);
          n += k;
          break;
        }
        case RequestBody::State::kWait:
          return n;
        case RequestBody::State::kEnd:
          if (const auto length = request_.body->length(); length && result_.request_bytes + n < *length)
            return EndUpload(FailureCode::kHttpRequestBodySize, "the streamed body ended before its announced length");
          last = true;
          return n;
        case RequestBody::State::kFailed:
          return EndUpload(FailureCode::kCancelled, "the caller broke the body off");
      }
    }
    return n;
  }
  size_t EndUpload(FailureCode code, std::string detail) {
    End(code, std::move(detail));
    return 0;
  }

  // The request is out.
  void OnSent(Instant now) {
    sent_ = true;
    written_at_ = now;
    result_.phases.send = now - started_;
    Arm(now);
  }

  void OnHeadProgress(Instant now) {
    const bool final_began = status_ >= 200;
    if (!final_began || final_began_) return;
    final_began_ = true;
    first_byte_at_ = now;
    result_.phases.wait = sent_ ? now - *written_at_ : Duration::zero();
    Arm(now);
  }

  void GiveHead(bool last) {
    head_.status = result_.status = status_;
    const auto length = head_.headers.Find("content-length");
    const bool none = last || request_.spec.method == "HEAD" || status_ == 204 || status_ == 304;
    if (none) {
      head_.content_length = 0;
    } else if (length) {
      // nghttp2 has checked it.
      uint64_t n = 0;
      const auto [end, error] = std::from_chars(length->data(), length->data() + length->size(), n);
      if (error == std::errc() && end == length->data() + length->size()) head_.content_length = n;
    }
    const std::optional<uint64_t> announced = head_.content_length;
    sink_ = &request_.judge.OnHead(head_);
    sink_->OnHead(std::move(head_));
    budget_ = sink_->BytesFor(request_.spec.body_limit.max_bytes);
    rate_.Start();
    if (Refused()) return;
    if (announced && *announced > budget_ && !request_.spec.body_limit.truncate) FailBodySize();
    Arm(session_.now());
  }

  // Copies as much to the sink as there is credit for; returns how much of `piece` needs no further look. The sink
  // knows of it once CommitRoom has told.
  size_t Give(std::string_view piece) {
    const std::string_view allowed = piece.substr(0, budget_);
    size_t copied = 0;
    while (copied < allowed.size()) {
      if (filled_ == room_.size()) {
        if (!CommitRoom()) break;
        room_ = sink_->Prepare(std::min<uint64_t>(budget_ - copied, kRoom));
        if (room_.empty()) {
          // It may have been refused just now.
          Refused();
          break;
        }
      }
      const size_t n = std::min(room_.size() - filled_, allowed.size() - copied);
      std::memcpy(room_.data() + filled_, allowed.data() + copied, n);
      filled_ += n;
      copied += n;
    }
    result_.response_bytes += copied;
    if (budget_ != BodyLimit::kUnlimited) budget_ -= copied;
    if (!result_.failure && copied == allowed.size() && allowed.size() < piece.size() && CommitRoom()) OverLimit();
    return copied;
  }
  // False if the sink wants no more.
  bool CommitRoom() {
    room_ = {};
    const size_t n = std::exchange(filled_, 0);
    if (n == 0) return true;
    sink_->Commit(n);
    return !Refused();
  }

  // The window follows a caller that keeps pace.
  void Grow(size_t n) {
    if (window_ >= session_.options().max_stream_window) return;
    since_grown_ += n;
    if (since_grown_ < window_) return;
    since_grown_ = 0;
    if (!std::exchange(kept_pace_, true)) return;
    window_ *= 2;
    session_.Widen(*id_, window_);
  }

  // Sets the deadline that holds now.
  void Arm(Instant now) {
    if (final_began_) {
      // While the request is still being written the origin may wait for the rest of it.
      const Instant idle = sent_ ? After(now, timeouts_.between_bytes) : SendDeadline(now);
      const Instant rate = sink_ != nullptr ? rate_.OnReadBegins(now) : kNever;
      if (rate < idle)
        scope_.SetDeadline(rate, FailureCode::kMinRateTimeout);
      else
        scope_.SetDeadline(idle, sent_ ? FailureCode::kConnectionReadTimeout : FailureCode::kConnectionWriteTimeout);
    } else if (sent_) {
      scope_.SetDeadline(After(*written_at_, timeouts_.first_byte), FailureCode::kHttpResponseTimeout);
    } else {
      scope_.SetDeadline(SendDeadline(now), FailureCode::kConnectionWriteTimeout);
    }
  }
  Instant SendDeadline(Instant now) const { return stalled_on_caller_ ? kNever : After(now, timeouts_.send_idle); }

  void RecordPhases() {
    const Instant now = scope_.Now();
    if (final_began_)
      result_.phases.receive = now - first_byte_at_;
    else if (sent_)
      result_.phases.wait = now - *written_at_;
    else
      result_.phases.send = now - started_;
  }

  Phase phase() const {
    if (final_began_) return Phase::kReceive;
    return sent_ ? Phase::kWait : Phase::kSend;
  }
  Processed processed() const { return final_began_ ? Processed::kYes : Processed::kMaybe; }

  // Ends the exchange from within the session.
  void End(FailureCode code, std::string detail) {
    Fail(code, std::move(detail), processed());
    changed_.Set();
  }
  void Fail(FailureCode code, std::string detail, Processed processed) {
    if (result_.failure) return;
    result_.failure = Failure{.code = code,
                              .phase = phase(),
                              .processed = processed,
                              .detail = std::move(detail),
                              .reused_connection = false};
  }
  bool Refused() {
    const Failure* refusal = sink_->refusal();
    if (refusal == nullptr) return false;
    if (!result_.failure) result_.failure = *refusal;
    changed_.Set();
    return true;
  }
  void FailBodySize() {
    End(FailureCode::kHttpResponseBodySize, Concat("the body is larger than ", request_.spec.body_limit.max_bytes,
                                                   " bytes; FetchStream takes bodies of any size"));
  }
  void OverLimit() {
    if (!request_.spec.body_limit.truncate) return FailBodySize();
    result_.truncated = true;
  }
  std::string RateDetail() const {
    return Concat("the body came at less than ", timeouts_.min_bytes_per_second, " bytes/s");
  }
  void FailStopped() {
    const FailureCode why = scope_.reason();
    const auto within = [](Duration d) { return absl::StrCat(" within ", ToSeconds(d), " s"); };
    std::string detail(ToString(why));
    if (why == FailureCode::kHttpResponseTimeout) detail = Concat("no response", within(timeouts_.first_byte));
    if (why == FailureCode::kConnectionReadTimeout)
      detail = Concat("no further byte of the response", within(timeouts_.between_bytes));
    if (why == FailureCode::kConnectionWriteTimeout)
      detail = Concat("the origin took nothing of the request", within(timeouts_.send_idle));
    if (why == FailureCode::kAttemptTimeout) detail = Concat("the attempt did not end", within(timeouts_.attempt));
    if (why == FailureCode::kTotalTimeout) detail = "the fetch ran out of time";
    if (why == FailureCode::kMinRateTimeout) detail = RateDetail();
    Fail(why, std::move(detail), id_ ? processed() : Processed::kNo);
  }
  // The stream ended before its response was complete.
  void FailEnded() {
    if (!end_.failure) {
      Fail(FailureCode::kHttpResponseIncomplete, "the origin ended the stream within the response", processed());
      return;
    }
    FailureCode code = *end_.failure;
    if (code == FailureCode::kTlsTruncated && !final_began_) code = FailureCode::kConnectionTerminated;
    if (final_began_ && (code == FailureCode::kConnectionTerminated || code == FailureCode::kHttp2StreamRefused))
      code = FailureCode::kHttpResponseIncomplete;
    // What has answered has acted, whatever it says afterwards.
    const bool unprocessed = end_.unprocessed && !final_began_;
    Fail(code, end_.detail, unprocessed ? Processed::kNo : processed());
    // Nothing was done, so another try costs the origin nothing, once.
    result_.failure->reused_connection =
        unprocessed || (request_.reused_connection && !any_field() && code == FailureCode::kConnectionTerminated);
  }
  bool any_field() const { return status_ != 0; }

  H2Session& session_;
  Executor executor_;
  ExchangeRequest& request_;
  const Timeouts& timeouts_;
  CancelScope scope_;
  // The session said something that the coroutine has to see.
  Event changed_;
  Event upload_done_;
  std::optional<CancelScope> upload_scope_;
  RateWatch rate_;
  std::optional<int32_t> id_;
  ExchangeResult result_;
  ResponseHead head_;
  ResponseSink* sink_ = nullptr;
  // Came without credit; what is before `held_from_` was given away since.
  std::string held_;
  size_t held_from_ = 0;
  // The end of the wait for 100 (Continue), until which the body is held back.
  Timer hold_;
  bool held_back_ = false;
  // Where the next bytes go, and how many are there that the sink does not know of. Empty between reads.
  std::span<char> room_;
  size_t filled_ = 0;
  // Since the last pause.
  size_t came_ = 0;
  size_t given_ = 0;
  uint32_t window_;
  uint64_t since_grown_ = 0;
  // Given to the sink and not consumed yet.
  size_t taken_ = 0;
  bool kept_pace_ = true;
  std::string_view body_left_;
  uint64_t budget_ = 0;
  size_t block_bytes_ = 0;
  int status_ = 0;
  int interim_ = 0;
  Instant started_;
  Instant first_byte_at_;
  std::optional<Instant> written_at_;
  H2StreamEnd end_;
  bool head_given_ = false;
  bool final_began_ = false;
  bool sent_ = false;
  bool stalled_on_caller_ = false;
  bool uploading_ = false;
  bool complete_ = false;
  bool ended_ = false;
};

}  // namespace

Task<ExchangeResult> RunH2Exchange(H2Session& session, Executor executor, ExchangeRequest request, CancelScope& scope) {
  return Exchange::Run(session, std::move(executor), request, scope);
}

}  // namespace fetchd::server
