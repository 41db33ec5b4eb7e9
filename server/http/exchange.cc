#include "http/exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "http/rate_watch.h"
#include "http/request_head.h"
#include "http/request_writer.h"
#include "http/response_codec.h"

namespace fetchd::server {
namespace {

// The largest piece read in one go, so that a sink with much credit still gets what came early.
constexpr size_t kMaxRead = 2 * 1024 * 1024;
constexpr size_t kReadUntilClose = 256 * 1024;

class Exchange final : private RequestWriter::Observer {
 public:
  Exchange(Transport& transport, ReadBuffer& buffer, Executor executor, ExchangeRequest& request, CancelScope& scope)
      : transport_(transport),
        buffer_(buffer),
        executor_(executor),
        request_(request),
        timeouts_(request.spec.timeouts),
        parent_(scope),
        scope_(scope, kNever, FailureCode::kInternal),
        codec_(request.limits, request.spec.method == "HEAD"),
        writer_(transport, request.spec, request.body, scope, *this),
        rate_(timeouts_.min_bytes_per_second),
        writer_done_(executor) {}

  static Task<ExchangeResult> Run(Transport& transport, ReadBuffer& buffer, Executor executor, ExchangeRequest request,
                                  CancelScope& scope) {
    Exchange exchange(transport, buffer, std::move(executor), request, scope);
    exchange.started_ = scope.Now();
    bool go_on = co_await exchange.Send();
    if (go_on) go_on = co_await exchange.ReceiveHead();
    if (go_on) go_on = co_await exchange.ReceiveBody();
    exchange.RecordPhases();
    if (exchange.writer_running_) {
      // The response is there, or nobody waits for it any more.
      exchange.writer_.Stop();
      CancelScope unstoppable(scope.clock(), scope.timers(), kNever, FailureCode::kInternal);
      co_await exchange.writer_done_.Wait(unstoppable);
    }
    co_return exchange.Finish(go_on);
  }

 private:
  // The child coroutine that writes while the response is read.
  static Task<void> RunWriter(Exchange& self) {
    co_await self.writer_.Run(self.executor_);
    self.writer_running_ = false;
    self.writer_done_.Set();
  }

  ExchangeResult Finish(bool whole) {
    result_.request_bytes = writer_.body_bytes();
    result_.reusable = whole && clean_ && writer_.complete() && codec_.keep_alive() && buffer_.empty();
    return std::move(result_);
  }

  // Here and below: what most exchanges can do at once is done without a coroutine of its own.
  Task<bool> Send() {
    // What came before the request is no answer to it. The pool has looked at a connection that served before.
    if (!request_.reused_connection && !transport_.LooksAlive()) return FailUnasked();
    if (!writer_.Begin())
      return Fail(FailureCode::kInternal, Phase::kSend, "a part of the request head holds a line break");
    Task<void> first = writer_.WriteFirst();
    if (!first.await_ready()) return SendSlowly(std::move(first));
    return OnFirstWritten();
  }

  Task<bool> FailUnasked() {
    scope_.SetDeadline(After(started_, timeouts_.first_byte), FailureCode::kHttpResponseTimeout);
    const IoResult r = co_await transport_.ReadSome(buffer_.Space(), scope_);
    if (!r.ok()) co_return FailRead(r);
    co_return Fail(FailureCode::kHttpUnsolicitedResponse, Phase::kSend, "the origin spoke before it was asked");
  }

  Task<bool> SendSlowly(Task<void> first) {
    co_await first;
    co_return OnFirstWritten();
  }

  bool OnFirstWritten() {
    if (writer_.complete() || writer_.failed()) {
      OnWritten();
    } else {
      writer_running_ = true;
      Spawn(executor_, RunWriter(*this), [this](std::exception_ptr error) {
        if (!error) return;
        // A bug; the exchange must not wait for what will not come.
        writer_running_ = false;
        scope_.Cancel(FailureCode::kInternal);
        writer_done_.Set();
      });
    }
    return !scope_.stopped() || FailStopped();
  }

  // From the writer, on its end.
  void OnWritten() override {
    Instant now = scope_.Now();
    written_at_ = now;
    result_.phases.send = now - started_;
    if (writer_.fatal()) {
      scope_.Cancel(writer_.failure()->code);
    } else if (!final_began_) {
      // Also after a broken write: an origin that refuses a body may answer and close.
      scope_.SetDeadline(After(now, timeouts_.first_byte), FailureCode::kHttpResponseTimeout);
    } else if (waiting_for_bytes_) {
      ArmRead(now);
    }
  }

  void RecordPhases() {
    Instant now = scope_.Now();
    if (final_began_)
      result_.phases.receive = now - first_byte_at_;
    else if (!writing())
      result_.phases.wait = now - *written_at_;
    else
      result_.phases.send = now - started_;
  }

  bool writing() const { return !written_at_.has_value(); }

  Task<bool> ReceiveHead() {
    for (;;) {
      if (!buffer_.empty()) {
        size_t used = 0;
        ResponseCodec::HeadStep step = codec_.ParseHead(buffer_.bytes(), used);
        OnHeadProgress(step != ResponseCodec::HeadStep::kNeedMore || codec_.final_head_began());
        buffer_.Consume(used);
        if (step == ResponseCodec::HeadStep::kFailed) co_return FailCodec();
        if (writer_.holds_body()) OnHeadWhileHeld(step == ResponseCodec::HeadStep::kHead);
        if (step == ResponseCodec::HeadStep::kHead) break;
      }
      if (final_began_) ArmRead(scope_.Now());
      IoResult r = co_await transport_.ReadSome(buffer_.Space(), scope_);
      if (!r.ok()) co_return FailRead(r);
      any_byte_ = true;
      buffer_.Commit(r.n);
    }
    co_return true;
  }

  void OnHeadProgress(bool final_began) {
    if (final_began == final_began_) return;
    final_began_ = final_began;
    if (final_began) {
      first_byte_at_ = scope_.Now();
      result_.phases.wait = writing() ? Duration::zero() : first_byte_at_ - *written_at_;
    } else if (!writing()) {
      // It was an interim response, which neither ends nor restarts the wait for the final one.
      scope_.SetDeadline(After(*written_at_, timeouts_.first_byte), FailureCode::kHttpResponseTimeout);
    }
  }

  // A head came whose request's body is held back: 100 (Continue) lets it go. A final one does not, and is all that the
  // origin wants to say; the request counts as written then, so that the response has its timeouts.
  void OnHeadWhileHeld(bool final) {
    if (codec_.continued()) {
      writer_.Release();
    } else if (final) {
      writer_.KeepBody();
      written_at_ = scope_.Now();
      result_.phases.send = *written_at_ - started_;
    }
  }

  Task<bool> ReceiveBody() {
    ResponseHead head = codec_.TakeHead();
    result_.status = head.status;
    std::optional<uint64_t> length = head.content_length;
    sink_ = &request_.judge.OnHead(head);
    sink_->OnHead(std::move(head));
    if (Refused()) return false;
    budget_ = request_.spec.body_limit.max_bytes;
    rate_.Start();
    switch (codec_.framing()) {
      case ResponseCodec::Framing::kNone:
        clean_ = true;
        return true;
      case ResponseCodec::Framing::kLength:
        if (*length > budget_ && !request_.spec.body_limit.truncate) return FailBodySize();
        return ReceiveKnown(*length);
      case ResponseCodec::Framing::kUntilClose:
        return ReceiveUntilClose();
      case ResponseCodec::Framing::kChunked:
        return ReceiveChunked();
    }
    return false;
  }

  Task<bool> ReceiveKnown(uint64_t length) {
    const uint64_t left = std::min(length, budget_);
    const bool cut = left < length;
    std::string_view ready = buffer_.bytes().substr(0, left);
    const size_t copied = CopyNow(ready);
    buffer_.Consume(copied);
    if (Refused()) return false;
    if (copied < left) return ReceiveRest(left - copied, cut);
    return OnKnown(cut);
  }

  Task<bool> ReceiveRest(uint64_t left, bool cut) {
    const std::string_view ready = buffer_.bytes().substr(0, left);
    if (!ready.empty()) {
      bool delivered = co_await Copy(ready);
      if (!delivered) co_return false;
      left -= ready.size();
      buffer_.Consume(ready.size());
    }
    while (left > 0) {
      size_t n = co_await ReadIntoSink(std::min<uint64_t>(left, kMaxRead));
      if (n == 0) co_return false;
      left -= n;
    }
    co_return OnKnown(cut);
  }

  bool OnKnown(bool cut) {
    result_.truncated = cut;
    clean_ = !cut;
    return true;
  }

  Task<bool> ReceiveUntilClose() {
    std::string_view ready = buffer_.bytes();
    if (!ready.empty()) {
      bool delivered = co_await Deliver(ready);
      if (!delivered) co_return result_.truncated;
      buffer_.Consume(ready.size());
    }
    ended_by_close_ = true;
    while (budget_ > 0) {
      size_t n = co_await ReadIntoSink(std::min<uint64_t>(budget_, kReadUntilClose));
      if (closed_) co_return true;
      if (n == 0) co_return false;
      if (budget_ != BodyLimit::kUnlimited) budget_ -= n;
    }
    // The limit is reached exactly; only the end may follow.
    ArmRead(scope_.Now());
    IoResult r = co_await transport_.ReadSome(buffer_.Space(), scope_);
    if (r.kind == IoResult::Kind::kEof) co_return true;
    if (!r.ok()) co_return FailRead(r);
    co_return OverLimit();
  }

  Task<bool> ReceiveChunked() {
    for (;;) {
      if (!buffer_.empty()) {
        size_t used = 0;
        std::string_view piece;
        ResponseCodec::Step step = codec_.ParseChunked(buffer_.bytes(), used, piece);
        if (step == ResponseCodec::Step::kBody) {
          bool delivered = co_await Deliver(piece);
          if (!delivered) co_return result_.truncated;
          buffer_.Consume(used);
          continue;
        }
        buffer_.Consume(used);
        if (step == ResponseCodec::Step::kFailed) co_return FailCodec();
        if (step == ResponseCodec::Step::kDone) {
          result_.trailers = codec_.TakeTrailers();
          clean_ = true;
          co_return true;
        }
      }
      std::span<char> space = buffer_.Space();
      ArmRead(scope_.Now());
      IoResult r = co_await transport_.ReadSome(space, scope_);
      if (!r.ok()) co_return FailRead(r);
      buffer_.Commit(r.n);
      if (!rate_.OnRead(scope_.Now(), r.n)) co_return FailRate();
      if (r.n == space.size()) buffer_.Widen();
    }
  }

  // Gives a piece of a body of unknown length to the sink. False on failure, and when the body was cut as asked.
  Task<bool> Deliver(std::string_view piece) {
    std::string_view allowed = piece.substr(0, budget_);
    bool delivered = co_await Copy(allowed);
    if (!delivered) co_return false;
    if (budget_ != BodyLimit::kUnlimited) budget_ -= allowed.size();
    if (allowed.size() < piece.size()) {
      OverLimit();
      co_return false;
    }
    co_return true;
  }

  // Copies as much of a piece to the sink as there is credit for; returns how much. What is left of the piece remains.
  size_t CopyNow(std::string_view& piece) {
    size_t copied = 0;
    while (!piece.empty()) {
      std::span<char> room = sink_->Prepare(piece.size());
      if (room.empty()) break;
      size_t n = std::min(room.size(), piece.size());
      std::memcpy(room.data(), piece.data(), n);
      sink_->Commit(n);
      copied += n;
      piece.remove_prefix(n);
    }
    result_.response_bytes += copied;
    return copied;
  }

  // Copies all of a piece to the sink, waiting for credit if need be.
  Task<bool> Copy(std::string_view piece) {
    CopyNow(piece);
    if (Refused()) return false;
    if (piece.empty()) return true;
    return CopySlowly(piece);
  }

  Task<bool> CopySlowly(std::string_view piece) {
    while (!piece.empty()) {
      bool writable = co_await AwaitCredit();
      if (!writable) co_return false;
      CopyNow(piece);
      if (Refused()) co_return false;
    }
    co_return true;
  }

  Task<bool> AwaitCredit() {
    waiting_for_bytes_ = false;
    scope_.SetDeadline(kNever, FailureCode::kConnectionReadTimeout);
    bool writable = co_await sink_->Writable().Wait(scope_);
    co_return writable || FailStopped();
  }

  // Reads at least one byte straight into the sink, waiting for credit if need be. 0 on failure, or at the end of a
  // body that ends with the connection (`closed_`).
  Task<size_t> ReadIntoSink(size_t want) {
    std::span<char> room = sink_->Prepare(want);
    while (room.empty()) {
      bool writable = co_await AwaitCredit();
      if (!writable) co_return 0;
      room = sink_->Prepare(want);
    }
    ArmRead(scope_.Now());
    IoResult r = co_await transport_.ReadSome(room.first(std::min(room.size(), want)), scope_);
    if (!r.ok()) {
      if (ended_by_close_ && r.kind == IoResult::Kind::kEof)
        closed_ = true;
      else
        FailRead(r);
      co_return 0;
    }
    sink_->Commit(r.n);
    result_.response_bytes += r.n;
    if (Refused()) co_return 0;
    if (rate_.enabled() && !rate_.OnRead(scope_.Now(), r.n)) {
      FailRate();
      co_return 0;
    }
    co_return r.n;
  }

  // Sets the deadline of the next read of a response that has begun.
  void ArmRead(Instant now) {
    // While the request is still being written the origin may wait for the rest of it; send_idle watches over that.
    waiting_for_bytes_ = true;
    Instant idle = writing() ? kNever : After(now, timeouts_.between_bytes);
    Instant rate = sink_ != nullptr ? rate_.OnReadBegins(now) : kNever;
    if (rate < idle)
      scope_.SetDeadline(rate, FailureCode::kMinRateTimeout);
    else
      scope_.SetDeadline(idle, FailureCode::kConnectionReadTimeout);
  }

  // Where the exchange is, for a failure now.
  Phase phase() const {
    if (final_began_) return Phase::kReceive;
    return writing() || writer_.failed() ? Phase::kSend : Phase::kWait;
  }
  Processed processed() const {
    if (final_began_) return Processed::kYes;
    return writer_.any_byte_sent() ? Processed::kMaybe : Processed::kNo;
  }

  // All of these return false, for co_return.
  bool Fail(FailureCode code, Phase at, std::string detail) {
    result_.failure = Failure{.code = code,
                              .phase = at,
                              .processed = processed(),
                              .detail = std::move(detail),
                              .reused_connection = request_.reused_connection && !any_byte_};
    return false;
  }
  bool FailCodec() {
    Failure f = codec_.failure();
    return Fail(f.code, f.phase, std::move(f.detail));
  }
  bool FailBodySize() {
    return Fail(FailureCode::kHttpResponseBodySize, Phase::kReceive,
                absl::StrCat("the body is larger than ", request_.spec.body_limit.max_bytes,
                             " bytes; FetchStream takes bodies of any size"));
  }
  // The sink wants no more; `failure` is set then.
  bool Refused() {
    const Failure* refusal = sink_->refusal();
    if (refusal == nullptr) return false;
    result_.failure = *refusal;
    return true;
  }
  bool FailRate() {
    return Fail(FailureCode::kMinRateTimeout, Phase::kReceive,
                absl::StrCat("the body came at less than ", timeouts_.min_bytes_per_second, " bytes/s"));
  }
  // The body goes on over its limit. True if that was asked for.
  bool OverLimit() {
    if (!request_.spec.body_limit.truncate) return FailBodySize();
    result_.truncated = true;
    return true;
  }
  bool FailStopped() {
    if (writer_.fatal() && !parent_.stopped()) {
      const Failure& f = *writer_.failure();
      return Fail(f.code, f.phase, f.detail);
    }
    FailureCode why = scope_.reason();
    if (why == FailureCode::kMinRateTimeout) return FailRate();
    return Fail(why, phase(), StopDetail(why));
  }
  std::string StopDetail(FailureCode why) const {
    auto within = [](Duration d) { return absl::StrCat(" within ", ToSeconds(d), " s"); };
    switch (why) {
      case FailureCode::kHttpResponseTimeout:
        return absl::StrCat("no response", within(timeouts_.first_byte));
      case FailureCode::kConnectionReadTimeout:
        return absl::StrCat("no further byte of the response", within(timeouts_.between_bytes));
      case FailureCode::kAttemptTimeout:
        return absl::StrCat("the attempt did not end", within(timeouts_.attempt));
      case FailureCode::kTotalTimeout:
        return "the fetch ran out of time";
      default:
        return std::string(ToString(why));
    }
  }
  bool FailRead(const IoResult& r) {
    if (r.kind == IoResult::Kind::kStopped) return FailStopped();
    std::string how;
    switch (r.kind) {
      case IoResult::Kind::kEof:
        how = "the origin closed the connection";
        break;
      case IoResult::Kind::kReset:
        how = "the origin reset the connection";
        break;
      case IoResult::Kind::kTruncatedTls:
        how = "the connection ended without TLS close_notify";
        break;
      default:
        how = absl::StrCat("reading failed: ", r.ec.message());
    }
    const FailureCode incomplete =
        r.kind == IoResult::Kind::kTruncatedTls ? FailureCode::kTlsTruncated : FailureCode::kHttpResponseIncomplete;
    if (final_began_) return Fail(incomplete, Phase::kReceive, absl::StrCat(how, " within the response"));
    return Fail(FailureCode::kConnectionTerminated, phase(), absl::StrCat(how, " before the response"));
  }

  Transport& transport_;
  ReadBuffer& buffer_;
  Executor executor_;
  ExchangeRequest& request_;
  const Timeouts& timeouts_;
  CancelScope& parent_;
  // Stops the exchange's reads and waits: by its phase's timeout, by the writer's failure, by the parent.
  CancelScope scope_;
  ResponseCodec codec_;
  RequestWriter writer_;
  RateWatch rate_;
  Event writer_done_;
  ResponseSink* sink_ = nullptr;
  ExchangeResult result_;
  Instant started_;
  Instant first_byte_at_;
  std::optional<Instant> written_at_;
  bool writer_running_ = false;
  bool any_byte_ = false;
  bool final_began_ = false;
  bool waiting_for_bytes_ = false;
  bool ended_by_close_ = false;
  bool closed_ = false;
  bool clean_ = false;
  uint64_t budget_ = 0;
};

}  // namespace

Task<ExchangeResult> RunExchange(Transport& transport, ReadBuffer& buffer, Executor executor, ExchangeRequest request,
                                 CancelScope& scope) {
  return Exchange::Run(transport, buffer, std::move(executor), request, scope);
}

}  // namespace fetchd::server
