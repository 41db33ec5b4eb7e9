// A fetch whose whole response is held in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "fetch/fetch_call.h"

namespace fetchd::server {

// What came of a fetch, with as much of a response as there was.
struct Collected {
  // Names the fetch in the log.
  std::string id;
  // The URL without query values, for a failure's report; empty if there is none.
  std::string redacted_url;
  std::optional<ResponseHead> head;
  std::string body;
  Outcome outcome;

  // Bytes that reporting it takes at most, a little overestimated.
  size_t ReplySize() const;
};

// Collects head and body, and hands them home at the end. The engine keeps the body within spec.body_limit.
//
// Started by Fetcher::Start like any FetchCall. `done` is called exactly once, on the thread of `home`: in place if
// that is the owner's thread too (perhaps from inside Fetcher::Start), else posted there.
class CollectingCall final : public FetchCall {
 public:
  using Done = absl::AnyInvocable<void(Collected)>;
  CollectingCall(Executor home, Done done) : home_(home), done_(std::move(done)) {}

  void OnStart(Executor owner) override;
  void OnHead(ResponseHead head) override;
  std::span<char> Prepare(size_t want) override;
  void Commit(size_t n) override;
  Event& Writable() override { return *writable_; }
  void OnDone(Outcome outcome) override;

 private:
  const Executor home_;
  Done done_;
  bool owner_is_home_ = false;
  // Never waited for: there is always room.
  std::optional<Event> writable_;
  Collected collected_;
  // Bytes of the body that have arrived; the string behind is longer while it is being filled.
  size_t filled_ = 0;
};

}  // namespace fetchd::server
