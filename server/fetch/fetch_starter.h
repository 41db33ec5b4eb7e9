// Where fetches are started: Fetcher, or a fake in tests of those who start them.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "fetch/fetch_call.h"

namespace fetchd::server {

// Thread-safe. Outlives every call it started.
class FetchStarter {
 public:
  virtual ~FetchStarter() = default;

  // What is known before any I/O: PermissionDenied if the URL itself names a forbidden address or port.
  virtual absl::Status CheckUrl(const Url& url) const = 0;
  // Sets the proxy of a fetch anew, whose URL has another origin than the one it was read with.
  virtual void ChooseRoute(FetchSpec&) const {}
  // Runs the fetch on the owner of its origin; when the caller already is on that thread, it starts at once. The URL
  // must have passed CheckUrl.
  virtual void Start(std::shared_ptr<FetchCall> call) = 0;
  // Makes the call end soon with kCancelled; OnDone still comes, once. Idempotent; harmless after the end.
  virtual void Cancel(const std::shared_ptr<FetchCall>& call) = 0;
  // Bytes of request and response bodies that calls which collect them (CollectingCall) hold now.
  virtual int64_t held_bytes() const { return 0; }
};

}  // namespace fetchd::server
