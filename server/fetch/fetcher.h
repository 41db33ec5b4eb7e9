// A whole fetch: guard, owner, attempts, end.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "fetch/fetch_starter.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

class CookieStore;
class Engine;
class FetchObserver;
class UrlGuard;
struct FetchRecord;

// Starts fetches on the engine. Thread-safe. Outlives every call it started.
class Fetcher final : public FetchStarter {
 public:
  // All outlive this. `observer` hears of each fetch that ended, `cookies` has the sessions; both may be null.
  Fetcher(Engine& engine, const UrlGuard& url_guard, FetchObserver* observer = nullptr, CookieStore* cookies = nullptr);

  absl::Status CheckUrl(const Url& url) const override;
  void ChooseRoute(FetchSpec& spec) const override;
  void Start(std::shared_ptr<FetchCall> call) override;
  void Cancel(const std::shared_ptr<FetchCall>& call) override;
  int64_t held_bytes() const override { return held_bytes_.value(); }

 private:
  void Begin(std::shared_ptr<FetchCall> call, EngineThread& owner);
  // The call's next hop, with the owner of its URL.
  void StartHop(std::shared_ptr<FetchCall> call);
  static Task<void> Run(Fetcher& fetcher, FetchCall& call, EngineThread& owner);
  // What has been counted and said of a fetch, whose end is now told to its caller.
  void Finish(FetchCall& call, EngineThread& owner, const FetchRecord& record, Outcome outcome);

  Engine& engine_;
  const UrlGuard& url_guard_;
  FetchObserver* observer_;
  CookieStore* cookies_;
  SharedCell held_bytes_;
};

}  // namespace fetchd::server
