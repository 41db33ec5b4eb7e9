// The way of a fetch over redirects.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "engine/service.h"
#include "http/body_io.h"
#include "model/outcome.h"
#include "model/redirect.h"
#include "policy/redirect.h"

namespace fetchd::server {

class CookieStore;
class UrlGuard;

// What one fetch that may take several hops knows from each to the next, and the sink between a hop and the caller: it
// looks at each response, swallows those that lead elsewhere, and passes on the one that does not. Each hop of a
// session takes its cookies along and brings home new ones.
//
// Owned by the call; belongs to the owner thread of the hop that runs. Made only for fetches with HopOptions.
class Hops final : public ResponseSink {
 public:
  // What is read of the body of a redirect that is followed; a longer one costs the connection.
  static constexpr uint64_t kMaxSwallowed = 64 * 1024;

  // `spec` is the call's, which this changes from hop to hop, and has HopOptions. `cookies` may be null if that has no
  // session. All outlive this.
  Hops(FetchSpec& spec, const UrlGuard& guard, CookieStore* cookies);

  // Puts the cookies for the next hop into the spec. Before the hop's context is made.
  void TakeCookies();
  // The next hop begins, whose response goes to `caller` unless it leads elsewhere. `context` has this as its sink. All
  // outlive the hop.
  void Begin(FetchContext& context, ResponseSink& caller);
  // The hop has ended. True: the response leads elsewhere, Advance comes next. Else `outcome`, which has what the hop
  // came to, is made that of the whole fetch.
  bool End(const FetchContext& context, AttemptOutcome& result, Outcome& outcome);
  // Turns the spec into that of the next hop. After End was true.
  void Advance();
  bool goes_on() const { return goes_on_; }

  // Redirects followed so far.
  int followed() const { return followed_; }
  // Of the hops that have ended.
  Instant began() const { return began_; }
  uint64_t request_bytes() const { return request_bytes_; }
  uint64_t response_bytes() const { return response_bytes_; }
  // The trace so far, if the hop is not the first one.
  std::unique_ptr<Trace> TakeTrace() { return std::move(trace_); }

  void OnHead(ResponseHead head) override;
  std::span<char> Prepare(size_t want) override;
  void Commit(size_t n) override;
  Event& Writable() override { return caller_->Writable(); }
  void OnResumed(uint64_t offset) override { caller_->OnResumed(offset); }
  const Failure* refusal() const override;
  uint64_t BytesFor(uint64_t limit) const override { return swallows() ? limit : caller_->BytesFor(limit); }

 private:
  RedirectDecision Decide(const ResponseHead& head) const;
  // The guard's word on where the redirect leads.
  void Guard(RedirectDecision& decision) const;
  void NoteDecision(const ResponseHead& head) const;
  bool has_session() const { return cookies_ != nullptr && !spec_.hops->session.empty(); }
  void SwallowAtMost(uint64_t bytes);
  bool swallows() const {
    return decision_.verdict == RedirectVerdict::kFollow || decision_.verdict == RedirectVerdict::kRefuse;
  }

  FetchSpec& spec_;
  const UrlGuard& guard_;
  CookieStore* const cookies_;

  // Of the hop that runs.
  FetchContext* context_ = nullptr;
  ResponseSink* caller_ = nullptr;
  RedirectDecision decision_;
  std::unique_ptr<char[]> scratch_;
  uint64_t swallowed_ = 0;
  std::optional<Failure> too_long_;
  int status_ = 0;
  bool goes_on_ = false;

  // Of those before it.
  Instant began_;
  bool first_ = true;
  int followed_ = 0;
  int attempts_ = 0;
  uint64_t request_bytes_ = 0;
  uint64_t response_bytes_ = 0;
  std::unique_ptr<Trace> trace_;
  // What of the trace was counted on from the hops before.
  size_t numbered_attempts_ = 0;
  size_t numbered_decisions_ = 0;
  // Shared with the head that was passed on, and not changed then.
  std::shared_ptr<RedirectChain> chain_;
};

}  // namespace fetchd::server
