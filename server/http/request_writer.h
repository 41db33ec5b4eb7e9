// The sending half of an exchange.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/body_io.h"
#include "http/request_head.h"
#include "model/failure.h"
#include "model/request.h"
#include "net/event.h"
#include "net/transport.h"

namespace fetchd::server {

// Writes one request. Head and first body bytes go in one gathered write; the rest, if any, is written by Run() in a
// coroutine of its own. A body that waits for 100 (Continue) is held back by Run(). Part of its Exchange.
class RequestWriter {
 public:
  // Told when writing has ended: complete() or failed().
  class Observer {
   public:
    virtual void OnWritten() = 0;

   protected:
    ~Observer() = default;
  };

  RequestWriter(Transport& transport, const FetchSpec& spec, RequestBody* body, CancelScope& parent,
                Observer& observer);

  // Builds the head. False if it would not be well-formed; see AppendRequestHead.
  bool Begin();
  // One write of what is there. Does not call the observer. Afterwards complete(), failed(), or Run() must follow.
  Task<void> WriteFirst();
  // Writes the rest, then calls the observer.
  Task<void> Run(Executor executor);
  // The body is held back, until Release() or for FetchSpec::expect_continue.
  bool holds_body() const { return hold_ == Hold::kWaiting; }
  // The origin asks for the body.
  void Release();
  // The origin answered without it: if it was held back, it is never sent, and Run() lasts until Stop().
  void KeepBody();
  // Ends Run() soon, quietly.
  void Stop();

  // Every byte of the request was taken by the transport.
  bool complete() const { return complete_; }
  bool failed() const { return failure_.has_value(); }
  // The failure ends the exchange. Otherwise the origin broke the stream, and may have answered before.
  bool fatal() const { return failure_.has_value() && fatal_; }
  const std::optional<Failure>& failure() const { return failure_; }
  bool any_byte_sent() const { return any_byte_sent_; }
  // Body bytes sent, without chunk framing.
  uint64_t body_bytes() const { return body_bytes_; }

 private:
  enum class Next { kWrite, kWait, kHeld, kEnd, kFailed };
  enum class Hold : uint8_t { kNo, kWaiting, kKept };
  // Fills `pieces_` with what can be written now.
  Next Gather();
  Next GatherStream();
  // Ends when the body may go, or when `scope_` stops.
  Task<void> AwaitContinue(Executor executor);
  void Account(size_t n);
  Task<void> WriteFirstSlowly(Task<IoResult> write);
  void OnFirst(const IoResult& result);
  // One write of `pieces_`.
  Task<void> WriteOnce();
  void OnWritten(const IoResult& r);
  void Fail(FailureCode code, std::string detail, bool fatal);

  Transport& transport_;
  const FetchSpec& spec_;
  RequestBody* body_;
  Observer& observer_;
  // Its deadline is send_idle.
  CancelScope scope_;
  RequestFraming framing_;
  std::string head_;
  // What is left of the head, and of the body held in the spec.
  std::string_view head_left_;
  std::string_view body_left_;

  // Of the chunk being written: framing before, data in the caller's piece, framing after.
  std::array<char, 20> chunk_header_{};
  std::string_view chunk_header_left_;
  size_t chunk_data_left_ = 0;
  std::string_view chunk_end_left_;
  bool last_chunk_begun_ = false;
  std::string_view piece_;

  std::array<asio::const_buffer, 4> pieces_;
  size_t piece_count_ = 0;
  uint64_t body_bytes_ = 0;
  bool any_byte_sent_ = false;
  bool complete_ = false;
  bool stopping_ = false;
  Hold hold_ = Hold::kNo;
  Event* released_ = nullptr;  // while Run() waits for it
  bool fatal_ = false;
  std::optional<Failure> failure_;
};

}  // namespace fetchd::server
