// A response held back while another attempt is made.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "http/body_io.h"
#include "net/cancel_scope.h"

namespace fetchd::server {

// Takes a response that is likely to be replaced by a better one, and can give it to the caller after all. It holds up
// to kMaxBody bytes of body; a response that turns out larger is committed to the caller then and there, and its rest
// goes straight on. Lives in the frame of the retry layer's Call, as does what it refers to.
class KeptResponse final : public ResponseSink {
 public:
  static constexpr size_t kMaxBody = 256 * 1024;

  // `caller` gets the response on overflow and by Replay.
  explicit KeptResponse(ResponseSink& caller) : caller_(caller) {}

  void OnHead(ResponseHead head) override { head_ = std::move(head); }
  std::span<char> Prepare(size_t want) override;
  void Commit(size_t n) override;
  // Set only after an overflow, as before that there is always credit.
  Event& Writable() override { return caller_.Writable(); }
  const Failure* refusal() const override { return overflowed_ ? caller_.refusal() : nullptr; }

  // The response was handed on because of its size.
  bool overflowed() const { return overflowed_; }
  int status() const { return head_.status; }
  // Gives what is held to the caller, at the pace of its credit. False if `scope` stopped before it was all gone.
  Task<bool> Replay(CancelScope& scope);

 private:
  // Moves held bytes to the caller as far as its credit goes. True once nothing is held.
  bool Flush();

  ResponseSink& caller_;
  ResponseHead head_;
  std::string body_;
  size_t used_ = 0;     // bytes of body_ that are filled
  size_t flushed_ = 0;  // bytes of body_ that the caller has
  bool overflowed_ = false;
};

}  // namespace fetchd::server
