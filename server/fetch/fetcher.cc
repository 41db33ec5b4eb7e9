#include "fetch/fetcher.h"

#include <boost/asio/post.hpp>
#include <exception>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine.h"
#include "engine/origin_state.h"
#include "engine/service.h"
#include "fetch/body_chain.h"
#include "fetch/hops.h"
#include "guard/url_guard.h"
#include "policy/proxy_choice.h"
#include "telemetry/fetch_observer.h"

namespace fetchd::server {
namespace {

void Describe(const FetchCall& call, FetchRecord& record) {
  record.id = call.spec.id;
  record.caller = call.spec.caller;
  record.rpc = call.rpc;
  record.method = call.spec.method;
  record.request_headers = &call.spec.headers;
}

// What holds for the fetch, in which a caller sees how its own wishes were met.
std::string PolicyText(const FetchSpec& spec, const std::string& rule) {
  const auto timeout = [](const char* name, Duration d) {
    return d == kForever ? absl::StrCat("no ", name, " timeout, ") : absl::StrCat(name, " ", ToSeconds(d), " s, ");
  };
  static constexpr const char* kPriorities[] = {"interactive", "normal", "bulk"};
  return absl::StrCat(timeout("total", spec.timeouts.total), timeout("attempt", spec.timeouts.attempt),
                      timeout("queue", spec.timeouts.queue), timeout("first byte", spec.timeouts.first_byte),
                      spec.retry.max_attempts, " attempts, ", spec.hedge.enabled ? "hedged, " : "", "priority ",
                      kPriorities[static_cast<size_t>(spec.priority)], ", weight ", spec.weight, ", ",
                      rule.empty() ? "no rule" : "rule ", rule);
}

}  // namespace

Fetcher::Fetcher(Engine& engine, const UrlGuard& url_guard, FetchObserver* observer, CookieStore* cookies)
    : engine_(engine), url_guard_(url_guard), observer_(observer), cookies_(cookies) {}

absl::Status Fetcher::CheckUrl(const Url& url) const { return url_guard_.Check(url); }

void Fetcher::ChooseRoute(FetchSpec& spec) const {
  const PolicySource* policies = engine_.thread(0).options().policies;
  if (policies != nullptr) ChooseRouteAgain(policies->Current(), spec);
}

void Fetcher::Start(std::shared_ptr<FetchCall> call) {
  if (call->spec.hops != nullptr) {
    call->hops_ = std::make_shared<Hops>(call->spec, url_guard_, cookies_);
    engine_.OnRoamerBegan();
  }
  StartHop(std::move(call));
}

void Fetcher::StartHop(std::shared_ptr<FetchCall> call) {
  EngineThread& owner = engine_.OwnerOf(call->spec.url.origin());
  call->owner_.store(&owner);
  if (owner.IsCurrent()) {
    Begin(std::move(call), owner);
    return;
  }
  asio::post(owner.io(), [this, call = std::move(call), &owner]() mutable { Begin(std::move(call), owner); });
}

void Fetcher::Cancel(const std::shared_ptr<FetchCall>& call) {
  call->cancel_requested_.store(true);
  EngineThread* owner = call->owner_.load();
  // Not started yet: Begin will see the flag.
  if (owner == nullptr) return;
  if (owner->IsCurrent()) {
    if (call->scope_ != nullptr) call->scope_->Cancel(FailureCode::kCancelled);
    return;
  }
  // By the time it is there, the fetch may have gone on with another owner.
  asio::post(owner->io(), [this, call] { Cancel(call); });
}

void Fetcher::Begin(std::shared_ptr<FetchCall> call, EngineThread& owner) {
  owner.OnFetchBegan();
  owner.metrics().fetches_in_flight.Add(1);
  call->held_bytes_ = &held_bytes_;
  call->OnStart(owner.executor());
  FetchCall& c = *call;
  owner.tasks().Spawn(Run(*this, c, owner), [this, call = std::move(call), &owner](std::exception_ptr error) mutable {
    if (!error && call->hops_ != nullptr && call->hops_->goes_on()) {
      const Origin before = call->spec.url.origin();
      call->hops_->Advance();
      if (call->spec.url.origin() != before) ChooseRoute(call->spec);
      owner.metrics().fetches_in_flight.Add(-1);
      StartHop(std::move(call));
      owner.OnFetchEnded();
      return;
    }
    // The fetch has told its end itself, unless something threw, which is a bug.
    if (error) {
      call->scope_ = nullptr;
      Outcome outcome;
      outcome.failure = Failure{.code = FailureCode::kInternal,
                                .phase = Phase::kPolicy,
                                .processed = Processed::kMaybe,
                                .detail = "the fetch threw"};
      FetchRecord record;
      record.failure = FailureCode::kInternal;
      record.detail = "the fetch threw";
      Describe(*call, record);
      Finish(*call, owner, record, std::move(outcome));
    }
    if (call->hops_ != nullptr) engine_.OnRoamerEnded();
    owner.OnFetchEnded();
  });
}

Task<void> Fetcher::Run(Fetcher& fetcher, FetchCall& call, EngineThread& owner) {
  const FetchSpec& spec = call.spec;
  Hops* const hops = call.hops_.get();
  if (hops != nullptr) hops->TakeCookies();
  const Instant began = owner.clock().Now();
  Outcome outcome;
  FetchRecord record;
  {
    OriginRef origin(owner.origins(), owner.origins().Get(spec.url.origin()));
    CancelScope scope(owner.clock(), owner.timers(), spec.deadline, FailureCode::kTotalTimeout);
    call.scope_ = &scope;
    if (call.cancel_requested_.load())
      scope.Cancel(FailureCode::kCancelled);
    else if (began >= spec.deadline)
      scope.Cancel(FailureCode::kTotalTimeout);
    BodyChain chain(spec, call, fetcher.held_bytes_);
    RequestBody* const body = hops != nullptr && hops->followed() > 0 ? nullptr : call.request_body();
    FetchContext context(spec, body, hops != nullptr ? static_cast<ResponseSink&>(*hops) : chain.sink(), *origin,
                         scope);
    context.now = began;
    if (hops != nullptr) {
      hops->Begin(context, chain.sink());
      outcome.trace = hops->TakeTrace();
      context.trace = outcome.trace.get();
    }
    if (outcome.trace == nullptr && spec.explain != Explain::kNone) {
      outcome.trace = std::make_unique<Trace>(began, spec.explain);
      outcome.trace->Decide(began, 0, "policy", "applied", PolicyText(spec, origin->brain.rule));
      context.trace = outcome.trace.get();
    }
    AttemptOutcome result = co_await owner.service().Call(context);
    if (chain.working()) co_await chain.Finish(scope, result);
    call.scope_ = nullptr;

    outcome.failure = std::move(result.failure);
    outcome.truncated = result.truncated;
    outcome.trailers = std::move(result.trailers);
    outcome.attempts = context.attempts;
    outcome.retry_at = context.retry_at;
    record.status = context.status;
    record.attempts = context.attempts;
    record.request_bytes = context.request_bytes;
    record.response_bytes = result.response_bytes;
    if (hops != nullptr) {
      if (hops->End(context, result, outcome)) co_return;
      record.attempts = outcome.attempts;
      record.redirects = hops->followed();
      record.request_bytes = hops->request_bytes();
      record.response_bytes = hops->response_bytes();
    }
  }
  Describe(call, record);
  std::string redacted, detail;
  // Of use to the observer alone.
  if (fetcher.observer_ != nullptr) record.url = spec.url.Redacted(redacted);
  record.duration = owner.clock().Now() - (hops != nullptr ? hops->began() : began);
  if (outcome.failure) {
    detail = outcome.failure->detail;
    record.failure = outcome.failure->code;
    record.failure_phase = outcome.failure->phase;
    record.detail = detail;
  }
  fetcher.Finish(call, owner, record, std::move(outcome));
}

void Fetcher::Finish(FetchCall& call, EngineThread& owner, const FetchRecord& record, Outcome outcome) {
  owner.metrics().fetches_in_flight.Add(-1);
  owner.metrics().OnFetch(record);
  call.OnDone(std::move(outcome));
  if (observer_ != nullptr) observer_->OnFetch(record);
}

}  // namespace fetchd::server
