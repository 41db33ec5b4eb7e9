// A whole fetch: guard, owner, attempts, end.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "fetch/fetch_call.h"

namespace fetchd::server {

class Engine;
class UrlGuard;

// Starts fetches on the engine. Thread-safe. Outlives every call it started.
class Fetcher {
 public:
  Fetcher(Engine& engine, const UrlGuard& url_guard);

  // What is known before any I/O: PermissionDenied if the URL itself names a forbidden address or port.
  absl::Status CheckUrl(const Url& url) const;
  // Runs the fetch on the owner of its origin; when the caller already is on that thread, it starts at once. The URL
  // must have passed CheckUrl.
  void Start(std::shared_ptr<FetchCall> call);
  // Makes the call end soon with kCancelled; OnDone still comes, once. Idempotent; harmless after the end.
  void Cancel(const std::shared_ptr<FetchCall>& call);

 private:
  Engine& engine_;
  const UrlGuard& url_guard_;
};

}  // namespace fetchd::server
