// A whole fetch: guard, owner, attempts, end.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "fetch/fetch_starter.h"

namespace fetchd::server {

class Engine;
class UrlGuard;

// Starts fetches on the engine. Thread-safe. Outlives every call it started.
class Fetcher final : public FetchStarter {
 public:
  Fetcher(Engine& engine, const UrlGuard& url_guard);

  absl::Status CheckUrl(const Url& url) const override;
  void Start(std::shared_ptr<FetchCall> call) override;
  void Cancel(const std::shared_ptr<FetchCall>& call) override;

 private:
  Engine& engine_;
  const UrlGuard& url_guard_;
};

}  // namespace fetchd::server
