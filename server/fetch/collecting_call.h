// A fetch whose whole response is held in memory.
#pragma once

#include <optional>
#include <string>

#include "fetch/fetch_call.h"

namespace fetchd::server {

// What came of a fetch, with as much of a response as there was.
struct Collected {
  // The URL without query values, for a failure's report; empty if there is none.
  std::string redacted_url;
  std::optional<ResponseHead> head;
  std::string body;
  Outcome outcome;
};

// Collects head and body, and hands them home at the end. The engine keeps the body within spec.body_limit. Started by
// Fetcher::Start like any FetchCall, so made by std::make_shared; who wants the result derives from it.
class CollectingCall : public FetchCall {
 public:
  ~CollectingCall() override;
  void OnStart(Executor owner) final;
  void OnHead(ResponseHead head) final;
  std::span<char> Prepare(size_t want) final;
  void Commit(size_t n) final;
  Event& Writable() final { return *writable_; }
  void OnDone(Outcome outcome) final;

 protected:
  explicit CollectingCall(Executor home) : home_(home) {}
  // Exactly once, on the thread of `home`: in place if that is the owner's thread too (perhaps from inside
  // Fetcher::Start), else posted there. `collected` may be taken apart; it lives as long as the call.
  virtual void OnCollected(Collected& collected) = 0;

 private:
  // The call holds `bytes` in bodies.
  void Count(size_t bytes);

  const Executor home_;
  bool owner_is_home_ = false;
  // Never waited for: there is always room.
  std::optional<Event> writable_;
  Collected collected_;
  // Bytes of the body that have arrived; the string behind is longer while it is being filled.
  size_t filled_ = 0;
  // What of it was counted as held.
  size_t counted_ = 0;
};

}  // namespace fetchd::server
