// The two ends of an exchange's bodies. Both belong to the owner thread of the fetch's origin while the fetch runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "model/failure.h"
#include "model/response_head.h"
#include "net/event.h"

namespace fetchd::server {

// Takes the response of one fetch as it arrives, and gives credit.
class ResponseSink {
 public:
  virtual ~ResponseSink() = default;

  // The commit point: from here on no attempt replaces this response. Called at most once.
  virtual void OnHead(ResponseHead head) = 0;
  // A buffer for the next body bytes, of at most `want` (> 0) bytes; the exchange reads from the network straight into
  // it. Empty: no credit, wait for Writable(). Called after OnHead only. Valid until the next call.
  virtual std::span<char> Prepare(size_t want) = 0;
  // `n` bytes of the prepared buffer are filled.
  virtual void Commit(size_t n) = 0;
  // Set whenever credit comes back after Prepare gave none.
  virtual Event& Writable() = 0;
  // The response broke off after `offset` bytes of its body, as it was sent, and goes on now from there.
  virtual void OnResumed(uint64_t /*offset*/) {}
  // Why the sink wants no more of this response; null while it does. Asked after OnHead and each Commit, and before a
  // wait for credit; the exchange then ends with this failure, and its connection is closed. Valid as long as the sink.
  virtual const Failure* refusal() const { return nullptr; }
  // Body bytes to take from the origin so that the caller gets at most `limit` of them. Asked after OnHead. More than
  // `limit` if the sink decodes, and sees to the limit itself.
  virtual uint64_t BytesFor(uint64_t limit) const { return limit; }
};

// A request body that arrives piece by piece.
class RequestBody {
 public:
  enum class State {
    kData,   // bytes are there
    kWait,   // wait for Readable()
    kEnd,    // complete
    kFailed  // it will never be complete: the caller broke off
  };
  virtual ~RequestBody() = default;
  // Content-Length, or nullopt for chunked transfer coding.
  virtual std::optional<uint64_t> length() const = 0;
  // With kData, `piece` is the next bytes, valid until Consume.
  virtual State Peek(std::string_view& piece) = 0;
  // The first `n` bytes of the piece were sent; gives credit back to the caller.
  virtual void Consume(size_t n) = 0;
  // Set whenever Peek has something new to say after kWait.
  virtual Event& Readable() = 0;
};

}  // namespace fetchd::server
