#include "fetch/engine_board.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <exception>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/engine.h"
#include "engine/origin_state.h"
#include "engine/refusal.h"
#include "guard/address_guard.h"
#include "model/proxy.h"
#include "net/cancel_scope.h"
#include "net/connector.h"
#include "telemetry/log.h"

namespace fetchd::server {
namespace {

bool ByName(const OriginSnapshot& a, const OriginSnapshot& b) { return a.name < b.name; }

// Of one thread's origins, those that the filter wants.
std::vector<OriginSnapshot> Select(EngineThread& owner, const OriginFilter& filter) {
  std::vector<std::pair<std::string, OriginState*>> found;
  owner.origins().ForEach([&](OriginState& state) {
    if (!filter.host_contains.empty() && !absl::StrContains(state.origin.host, filter.host_contains)) return;
    std::string name = state.origin.ToString();
    if (name > filter.after) found.emplace_back(std::move(name), &state);
  });
  const size_t n = std::min(found.size(), filter.limit);
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n), found.end());
  std::vector<OriginSnapshot> snapshots;
  snapshots.reserve(n);
  for (size_t i = 0; i < n; ++i) snapshots.push_back(TakeSnapshot(*found[i].second, owner.clock()));
  return snapshots;
}

// The shares of all threads, put together by the last of them.
struct Gathering {
  Gathering(size_t threads, OriginFilter f, Executor h, OriginBoard::OnList d)
      : parts(threads), left(threads), filter(std::move(f)), home(std::move(h)), done(std::move(d)) {}
  std::vector<std::vector<OriginSnapshot>> parts;
  std::atomic<size_t> left;
  const OriginFilter filter;
  const Executor home;
  OriginBoard::OnList done;

  std::vector<OriginSnapshot> All() {
    std::vector<OriginSnapshot> all = std::move(parts.front());
    for (size_t i = 1; i < parts.size(); ++i) std::move(parts[i].begin(), parts[i].end(), std::back_inserter(all));
    std::sort(all.begin(), all.end(), ByName);
    if (all.size() > filter.limit) all.resize(filter.limit);
    return all;
  }
};

// What an attempt would meet now: the breaker first, then the limits.
void Foresee(OriginState& state, const FetchSpec& spec, const Clock& clock, UrlCheck& result) {
  using Verdict = UrlCheck::Verdict;
  const Instant now = clock.Now();
  const auto say = [&](Verdict verdict, std::string_view limit, Instant at) {
    result.verdict = verdict;
    result.limit = limit;
    if (at > now && at < kNever) result.at = clock.WallNow() + (at - now);
  };
  const CircuitBreaker& breaker = state.brain.breaker;
  const BreakerState is = breaker.state(now);
  if (is == BreakerState::kOpen) return say(Verdict::kRefused, "breaker", breaker.retry_at());
  if (is == BreakerState::kHalfOpen && breaker.trials_in_flight() >= breaker.options().trials)
    return say(Verdict::kRefused, "breaker", kNever);
  OriginGate& gate = state.brain.gate;
  const OriginGate::Forecast forecast = gate.Earliest(spec, now);
  const Instant patience = std::min(After(now, spec.timeouts.queue), spec.deadline);
  if (forecast.at > patience) return say(Verdict::kRefused, forecast.rule, forecast.at);
  if (forecast.at > now || forecast.rule == "caller_concurrency")
    return say(Verdict::kWait, forecast.rule, forecast.at);
  if (gate.waiting() > 0 || !gate.concurrency().HasRoom()) return say(Verdict::kWait, "concurrency", kNever);
  say(Verdict::kGo, "", now);
}

std::string_view ToString(OriginAct::Kind kind) {
  switch (kind) {
    case OriginAct::Kind::kReset:
      return "reset";
    case OriginAct::Kind::kOpen:
      return "force_open";
    case OriginAct::Kind::kClose:
      return "force_close";
  }
  return "";
}

}  // namespace

void EngineBoard::List(OriginFilter filter, Executor home, OnList done) {
  auto gathering = std::make_shared<Gathering>(engine_.size(), std::move(filter), std::move(home), std::move(done));
  for (size_t i = 0; i < engine_.size(); ++i) {
    EngineThread& owner = engine_.thread(i);
    asio::post(owner.io(), [gathering, &owner, i] {
      gathering->parts[i] = Select(owner, gathering->filter);
      if (gathering->left.fetch_sub(1) > 1) return;
      asio::post(gathering->home, [gathering] { gathering->done(gathering->All()); });
    });
  }
}

void EngineBoard::Get(Origin origin, Executor home, OnOrigin done) {
  EngineThread& owner = engine_.OwnerOf(origin);
  asio::post(owner.io(), [&owner, origin = std::move(origin), home = std::move(home),
                          done = std::move(done)]() mutable {
    std::optional<OriginSnapshot> snapshot;
    if (const OriginState* state = owner.origins().Find(origin)) snapshot = TakeSnapshot(*state, owner.clock());
    asio::post(home, [snapshot = std::move(snapshot), done = std::move(done)]() mutable { done(std::move(snapshot)); });
  });
}

Task<void> EngineBoard::RunCheck(const FetchSpec& spec, const AddressGuard& guard, EngineThread& owner,
                                 UrlCheck& result) {
  OriginRef origin(owner.origins(), owner.origins().Get(spec.url.origin()));
  std::vector<IpAddress> addresses;
  const bool by_name =
      spec.route.proxy != nullptr && spec.route.proxy->names == Proxy::Names::kRemote && !spec.url.host_address();
  if (by_name) {
    // The proxy alone will ask for its addresses.
  } else if (spec.url.host_address()) {
    addresses.push_back(*spec.url.host_address());
  } else {
    const Instant until = std::min(After(owner.clock().Now(), spec.timeouts.dns), spec.deadline);
    CancelScope scope(owner.clock(), owner.timers(), until, FailureCode::kDnsTimeout);
    ResolveResult resolved = co_await owner.connector().Resolve(spec.url.host(), scope);
    addresses = std::move(resolved.addresses);
    if (resolved.failure) result.dns_error = resolved.failure->detail;
    if (resolved.failure && result.dns_error.empty()) result.dns_error = ToString(resolved.failure->code);
  }
  bool any = by_name;
  for (const IpAddress& address : addresses) {
    AddressGuard::Verdict verdict = guard.Check(address);
    any = any || verdict.allowed;
    result.addresses.push_back({.address = address, .allowed = verdict.allowed, .reason = std::move(verdict.reason)});
  }
  result.origin = TakeSnapshot(*origin, owner.clock());
  if (any) Foresee(*origin, spec, owner.clock(), result);
}

void EngineBoard::Check(FetchSpec spec, Executor home, OnCheck done) {
  // What the task works with, until it ends.
  struct Checking {
    FetchSpec spec;
    Executor home;
    OnCheck done;
    UrlCheck result;
  };
  EngineThread& owner = engine_.OwnerOf(spec.url.origin());
  auto checking = std::make_shared<Checking>(Checking{std::move(spec), std::move(home), std::move(done), {}});
  asio::post(owner.io(), [this, &owner, checking] {
    owner.OnFetchBegan();
    owner.tasks().Spawn(RunCheck(checking->spec, guard_, owner, checking->result),
                        [&owner, checking](std::exception_ptr error) {
                          if (error) checking->result.dns_error = "the check threw";
                          asio::post(checking->home, [checking] { checking->done(std::move(checking->result)); });
                          owner.OnFetchEnded();
                        });
  });
}

void EngineBoard::Act(OriginAct act, Executor home, OnOrigin done) {
  log_.Write(LogLevel::kWarning, "origin set by hand",
             {{"act", std::string(ToString(act.kind))},
              {"origin", act.origin.ToString()},
              {"seconds", act.duration ? absl::StrCat(ToSeconds(*act.duration)) : "-"},
              {"caller", act.caller}});
  EngineThread& owner = engine_.OwnerOf(act.origin);
  asio::post(owner.io(), [&owner, act = std::move(act), home = std::move(home), done = std::move(done)]() mutable {
    std::optional<OriginSnapshot> snapshot;
    {
      const OriginRef origin(owner.origins(), owner.origins().Get(act.origin));
      const Instant now = owner.clock().Now();
      switch (act.kind) {
        case OriginAct::Kind::kReset:
          origin->brain.Reset(now);
          break;
        case OriginAct::Kind::kOpen:
          origin->brain.breaker.ForceOpen(now, act.duration ? After(now, *act.duration) : kNever);
          origin->brain.gate.RefuseAll(CircuitOpened(), origin->brain.breaker.retry_at(), now);
          break;
        case OriginAct::Kind::kClose:
          origin->brain.breaker.ForceClose();
          break;
      }
      snapshot = TakeSnapshot(*origin, owner.clock());
    }
    asio::post(home, [snapshot = std::move(snapshot), done = std::move(done)]() mutable { done(std::move(snapshot)); });
  });
}

}  // namespace fetchd::server
