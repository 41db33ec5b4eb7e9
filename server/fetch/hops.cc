#include "fetch/hops.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/text.h"
#include "cookies/cookie_store.h"
#include "guard/url_guard.h"

namespace fetchd::server {
namespace {

constexpr size_t kScratch = 8 * 1024;

}  // namespace

Hops::Hops(FetchSpec& spec, const UrlGuard& guard, CookieStore* cookies)
    : spec_(spec), guard_(guard), cookies_(cookies) {}

void Hops::TakeCookies() {
  if (!has_session()) return;
  // Those of the hop before; a session goes with no others.
  spec_.headers.Remove("cookie");
  const std::string cookies = cookies_->HeaderFor(spec_.caller, spec_.hops->session, spec_.url);
  if (!cookies.empty()) spec_.headers.Add("cookie", cookies);
}

void Hops::Begin(FetchContext& context, ResponseSink& caller) {
  context_ = &context;
  caller_ = &caller;
  decision_ = {};
  goes_on_ = false;
  swallowed_ = 0;
  too_long_.reset();
  if (std::exchange(first_, false)) began_ = context.now;
}

void Hops::OnHead(ResponseHead head) {
  if (has_session()) cookies_->OnResponse(spec_.caller, spec_.hops->session, spec_.url, head.headers);
  decision_ = Decide(head);
  status_ = head.status;
  NoteDecision(head);
  const uint64_t length = head.content_length.value_or(0);
  if (decision_.verdict != RedirectVerdict::kFollow) {
    head.redirects = chain_;
    caller_->OnHead(std::move(head));
  }
  if (swallows()) SwallowAtMost(length);
}

RedirectDecision Hops::Decide(const ResponseHead& head) const {
  RedirectDecision decision = DecideRedirect({.options = *spec_.hops,
                                              .spec = spec_,
                                              .streamed_body = context_->body != nullptr,
                                              .head = head,
                                              .followed = followed_});
  if (decision.verdict == RedirectVerdict::kFollow) Guard(decision);
  return decision;
}

void Hops::Guard(RedirectDecision& decision) const {
  const absl::Status allowed = guard_.Check(decision.url);
  if (allowed.ok()) return;
  decision.verdict = RedirectVerdict::kRefuse;
  decision.failure = {.code = guard_.PortAllowed(decision.url.port()) ? FailureCode::kDestinationIpProhibited
                                                                      : FailureCode::kHttpRequestDenied,
                      .phase = Phase::kPolicy,
                      .processed = Processed::kYes,
                      .detail = Concat("the redirect to ", decision.url.origin().ToString(),
                                       " is forbidden: ", std::string(allowed.message()))};
}

void Hops::NoteDecision(const ResponseHead& head) const {
  if (decision_.verdict == RedirectVerdict::kNone) return;
  const auto verdict = [&]() -> std::string_view {
    if (decision_.verdict == RedirectVerdict::kFollow) return "followed";
    return decision_.verdict == RedirectVerdict::kReturn ? "returned" : "refused";
  };
  Note(*context_, context_->now, "redirect", verdict(), [&] {
    std::string to = decision_.url.text().empty() ? "" : Concat(" to ", decision_.url.Redacted());
    std::string why;
    if (decision_.verdict == RedirectVerdict::kRefuse) why = Concat(": ", decision_.failure.detail);
    if (decision_.verdict == RedirectVerdict::kReturn) why = ": a streamed body cannot be sent again";
    return Concat(head.status, to, why);
  });
}

void Hops::SwallowAtMost(uint64_t bytes) {
  if (bytes <= kMaxSwallowed || too_long_) return;
  too_long_ = Failure{.code = FailureCode::kHttpResponseBodySize,
                      .phase = Phase::kReceive,
                      .processed = Processed::kYes,
                      .detail = "the body of the redirect was not read to its end"};
}

std::span<char> Hops::Prepare(size_t want) {
  if (!swallows()) return caller_->Prepare(want);
  if (too_long_) return {};
  if (scratch_ == nullptr) scratch_ = std::make_unique_for_overwrite<char[]>(kScratch);
  return {scratch_.get(), std::min(want, kScratch)};
}

void Hops::Commit(size_t n) {
  if (!swallows()) return caller_->Commit(n);
  swallowed_ += n;
  SwallowAtMost(swallowed_);
}

const Failure* Hops::refusal() const {
  if (swallows()) return too_long_ ? &*too_long_ : nullptr;
  return caller_->refusal();
}

bool Hops::End(const FetchContext& context, AttemptOutcome& result, Outcome& outcome) {
  if (outcome.trace != nullptr) {
    // Each hop counts its attempts from 1.
    std::vector<AttemptTrace>& attempts = outcome.trace->attempts;
    for (; numbered_attempts_ < attempts.size(); ++numbered_attempts_) attempts[numbered_attempts_].number += attempts_;
    std::vector<DecisionTrace>& decisions = outcome.trace->decisions;
    for (; numbered_decisions_ < decisions.size(); ++numbered_decisions_)
      if (decisions[numbered_decisions_].attempt > 0) decisions[numbered_decisions_].attempt += attempts_;
  }
  attempts_ += context.attempts;
  request_bytes_ += context.request_bytes;
  response_bytes_ += result.response_bytes;
  const CancelScope& scope = *context.scope;
  if (!scope.stopped() && decision_.verdict == RedirectVerdict::kFollow) {
    // Whatever became of the body: the head has said where to go.
    if (chain_ == nullptr) chain_ = std::make_shared<RedirectChain>();
    chain_->redirects.push_back({.status = status_, .url = decision_.url});
    ++followed_;
    trace_ = std::move(outcome.trace);
    goes_on_ = true;
    return true;
  }
  if (swallows()) {
    // Whatever became of the body here too: nobody was to have it.
    outcome.truncated = false;
    outcome.trailers.Clear();
  }
  if (decision_.verdict == RedirectVerdict::kFollow) {
    outcome.failure = Failure{.code = scope.reason(),
                              .phase = Phase::kReceive,
                              .processed = Processed::kYes,
                              .detail = "the fetch ended on its way to the next URL"};
  } else if (decision_.verdict == RedirectVerdict::kRefuse) {
    outcome.failure = std::move(decision_.failure);
  }
  outcome.attempts = attempts_;
  outcome.redirects = chain_;
  if (followed_ == 0 || !outcome.failure) return false;
  // What the first origin did is not undone by what happens at the last.
  outcome.failure->processed = Processed::kYes;
  outcome.failure->detail += Concat(" (after ", followed_, followed_ == 1 ? " redirect)" : " redirects)");
  return false;
}

void Hops::Advance() {
  FollowRedirect(std::move(decision_), spec_);
  goes_on_ = false;
}

}  // namespace fetchd::server
