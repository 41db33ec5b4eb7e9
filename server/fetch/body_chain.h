// What stands between the engine and the caller of a fetch: decoding, checks and selection of the response's body.
#pragma once

#include <memory>
#include <span>

#include "engine/service.h"
#include "http/body_io.h"
#include "model/request.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Takes the response of one fetch and gives the caller what it asked for. In this order: digests of the body as it was
// received (BodyContract::digest), its content codings are undone, digest of what comes out, JSON and selection. Each
// is made only if the fetch and the head of the response ask for it; without any, all goes straight through.
//
// A response without a body (HEAD, 204, 304), a part of one (206) and an empty one keep their codings. So does one with
// a coding that is not ours to undo: of what a caller's own decoder may know we take nothing away. More than three
// codings are refused.
//
// Lives in the frame of Fetcher's coroutine, on the owner thread.
class BodyChain final : public ResponseSink {
 public:
  // All outlive this; `held` counts the memory in use.
  BodyChain(const FetchSpec& spec, ResponseSink& caller, SharedCell& held);
  BodyChain(const BodyChain&) = delete;
  BodyChain& operator=(const BodyChain&) = delete;
  ~BodyChain() override;

  // Where the response is to go: to the caller itself if the fetch asks for nothing.
  ResponseSink& sink() { return wanted_ ? static_cast<ResponseSink&>(*this) : caller_; }

  void OnHead(ResponseHead head) override;
  std::span<char> Prepare(size_t want) override {
    return front_ != nullptr ? front_->Prepare(want) : std::span<char>();
  }
  void Commit(size_t n) override { front_->Commit(n); }
  Event& Writable() override { return caller_.Writable(); }
  void OnResumed(uint64_t offset) override { caller_.OnResumed(offset); }
  const Failure* refusal() const override;
  uint64_t BytesFor(uint64_t limit) const override { return front_ != nullptr ? front_->BytesFor(limit) : limit; }

  // Something is done with the response: Finish must be called when it has ended.
  bool working() const { return work_ != nullptr; }
  // Gives the caller what is left, waiting for its credit as long as `scope` goes, and makes the last checks. Sets
  // `result` to what came of them, unless it is a failure already.
  Task<void> Finish(CancelScope& scope, AttemptOutcome& result);

 private:
  struct Work;

  void Begin(ResponseHead head, CodingList codings, bool contract);
  // Takes the head and nothing of the body.
  void Refuse(ResponseHead head, FailureCode code, std::string detail);
  // What Finish does with a response that is complete, or cut.
  Task<std::optional<Failure>> Complete(CancelScope& scope, AttemptOutcome& result);

  const FetchSpec& spec_;
  ResponseSink& caller_;
  SharedCell& held_;
  const bool wanted_;
  // What the body goes to first; null if it was refused with the head.
  ResponseSink* front_;
  std::unique_ptr<Work> work_;
};

}  // namespace fetchd::server
