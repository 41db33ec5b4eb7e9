// Holds a JSON body until it is known to be one, and gives on what the caller wants of it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http/body_io.h"
#include "model/body_contract.h"
#include "net/cancel_scope.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Collects a body, up to BodyContract::max_held_bytes; a larger one is refused with kHttpResponseBodySize. The caller
// gets the head at once and no byte of the body before all of it was checked. Belongs to the owner thread of the fetch.
class JsonSink final : public ResponseSink {
 public:
  // `next`, `contract` and `held`, which counts the bytes that are held, outlive this.
  JsonSink(ResponseSink& next, const BodyContract& contract, SharedCell& held);
  ~JsonSink() override;
  JsonSink(const JsonSink&) = delete;
  JsonSink& operator=(const JsonSink&) = delete;

  // If a part is selected, the next sink is told of no length.
  void OnHead(ResponseHead head) override;
  std::span<char> Prepare(size_t want) override;
  void Commit(size_t n) override;
  Event& Writable() override { return next_.Writable(); }
  void OnResumed(uint64_t offset) override { next_.OnResumed(offset); }
  const Failure* refusal() const override { return failure_ ? &*failure_ : next_.refusal(); }

  // The body has ended. kBodyNotJson, kSelectedValueMissing, or kHttpResponseBodySize if what is selected is over its
  // limit and may not be cut.
  //
  // It costs about 3 ms for each MiB, in which the thread does nothing else.
  std::optional<Failure> Check();
  // After a Check without failure: gives the body, or what is selected of it, to the next sink. False if `scope`
  // stopped first.
  Task<bool> Deliver(CancelScope& scope);
  // What is selected was cut to its limit.
  bool cut() const { return cut_; }

 private:
  void Count(size_t bytes);
  void RefuseSize();

  ResponseSink& next_;
  const BodyContract& contract_;
  SharedCell& held_;
  std::string body_;
  // Bytes of the body that have arrived; the string behind is longer while it is being filled.
  size_t filled_ = 0;
  size_t counted_ = 0;
  std::optional<uint64_t> length_;
  std::string_view wanted_;
  bool cut_ = false;
  std::optional<Failure> failure_;
};

}  // namespace fetchd::server
