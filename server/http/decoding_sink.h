// Undoes the content codings of a response on its way to the caller.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/body_io.h"
#include "http/content_decoder.h"
#include "model/request.h"
#include "net/cancel_scope.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Takes a coded body and gives the decoded one to the next sink, straight into its buffers and only as far as its
// credit goes. Holds at most kBufferBytes of coded bytes, one buffer between two codings, and the decoders' windows,
// whatever the body. Refuses a body that is malformed (kHttpResponseContentCoding), costs too much
// (kContentCodingLimit) or is longer than the limit when decoded (kHttpResponseBodySize).
//
// Lives where the sink after it does, on the owner thread of the fetch.
class DecodingSink final : public ResponseSink {
 public:
  static constexpr size_t kBufferBytes = 64 * 1024;

  // `next` gets the decoded body. `held` counts the memory in use; both outlive this.
  DecodingSink(ResponseSink& next, CodingList codings, BodyLimit limit, SharedCell& held,
               const DecoderLimits& limits = {});
  DecodingSink(const DecodingSink&) = delete;
  DecodingSink& operator=(const DecodingSink&) = delete;
  ~DecodingSink() override;

  // The next sink gets the head without content-encoding and content-length, with `decoded` set.
  void OnHead(ResponseHead head) override;
  std::span<char> Prepare(size_t want) override;
  void Commit(size_t n) override;
  Event& Writable() override { return next_.Writable(); }
  void OnResumed(uint64_t offset) override { next_.OnResumed(offset); }
  const Failure* refusal() const override { return failure_ ? &*failure_ : next_.refusal(); }
  // What does not shrink by its coding grows a little.
  uint64_t BytesFor(uint64_t limit) const override;

  // The response has ended. Gives what is left of it to the next sink, waiting for its credit. False if `scope` stopped
  // first.
  Task<bool> Flush(CancelScope& scope);
  // After Flush: an end that is none is a failure. Not asked of a body that was cut.
  std::optional<Failure> CheckEnd();
  // The refusal only means that the body was cut to its limit, as asked.
  bool cut() const { return cut_; }

 private:
  // Decodes what is there, as far as the credit goes.
  void Pump();
  // At the limit: is there any more?
  void PumpBeyondLimit();
  // Decodes into `out`; returns how many bytes were written.
  size_t Decode(std::span<char> out);
  void Refuse(FailureCode code, std::string detail);
  void CountMemory();

  ResponseSink& next_;
  const CodingList codings_;
  const BodyLimit limit_;
  SharedCell& held_;
  LayeredDecoder decoder_;
  std::unique_ptr<char[]> buffer_;
  size_t buffer_size_ = kBufferBytes;
  // Of the buffer, what is not decoded yet.
  std::string_view input_;
  // The decoder may have more for the next sink, which had no room.
  bool blocked_ = false;
  uint64_t left_;
  bool cut_ = false;
  std::optional<Failure> failure_;
  size_t counted_ = 0;
};

}  // namespace fetchd::server
