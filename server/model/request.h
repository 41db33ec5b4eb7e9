// One fetch as the caller asked for it, validated and with all defaults filled in.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "model/headers.h"
#include "model/status_set.h"
#include "model/trace.h"
#include "model/url.h"

namespace fetchd::server {

// How long each phase may take; the meaning of each is in fetchd.v1.Timeouts. All are positive; kForever means none.
inline constexpr Duration kForever = Duration::max();
struct Timeouts {
  Duration total = std::chrono::seconds(30);
  Duration attempt = std::chrono::seconds(10);
  Duration queue = std::chrono::seconds(5);
  Duration dns = std::chrono::seconds(5);
  Duration connect = std::chrono::seconds(5);
  Duration tls = std::chrono::seconds(5);
  Duration send_idle = std::chrono::seconds(10);
  Duration first_byte = std::chrono::seconds(10);
  Duration between_bytes = std::chrono::seconds(10);
  // Bytes per second over each 5 s window; 0: no minimum.
  uint64_t min_bytes_per_second = 0;
};

// How the wait before an attempt is drawn; the formulas are in policy/backoff.h.
enum class Jitter : uint8_t { kNone, kFull, kEqual, kDecorrelated };

// See fetchd.v1.RetryPolicy.
struct RetryOptions {
  // Attempts in all, 1 to 10.
  int max_attempts = 3;
  Duration initial_backoff = std::chrono::milliseconds(100);
  Duration max_backoff = std::chrono::seconds(10);
  Jitter jitter = Jitter::kFull;
  // Statuses after which another attempt may fare better.
  StatusSet statuses = {408, 425, 429, 500, 502, 503, 504};
  // The longest wait an origin can ask for by Retry-After; a response that asks for more is not retried. 0 or more.
  Duration max_retry_after = std::chrono::seconds(60);
  // The caller's word that sending twice is safe.
  bool idempotent = false;
  // The rest of a response that breaks off is asked for.
  bool resume = true;
};

// A second attempt while the first one is slow.
struct HedgeOptions {
  bool enabled = false;
  // After how long; 0: after the time in which 95 % of the origin's answers came.
  Duration delay{};
};

// Whose turn it is where fetches wait for an origin.
enum class Priority : uint8_t {
  kInteractive = 0,  // someone waits for it
  kNormal = 1,
  kBulk = 2  // work that may wait
};

// See fetchd.v1.BodyPolicy.
struct BodyLimit {
  static constexpr uint64_t kUnlimited = UINT64_MAX;
  uint64_t max_bytes = kUnlimited;
  bool truncate = false;
};

// Which version of HTTP a fetch may use.
enum class HttpVersion : uint8_t {
  kAuto,   // what the origin and we do best: HTTP/2 by ALPN, else HTTP/1.1
  kHttp1,  // HTTP/1.1 only
  kHttp2   // HTTP/2 only; with an http URL by prior knowledge
};

struct HopOptions;
// What is done with the content codings of a response (RFC 9110 section 8.4).
enum class Decoding : uint8_t {
  kPassThrough,  // nothing
  kDecode,       // they are undone
  kAskAndDecode  // and Accept-Encoding says which ones we can undo
};

struct BodyContract;
struct Proxy;

// How the connection comes to be. Two fetches may share a connection only if this is equal.
struct Route {
  HttpVersion version = HttpVersion::kAuto;
  // The proxy to go through; null: none. Shared by all fetches through it, so compared by address.
  std::shared_ptr<const Proxy> proxy;
};

// A validated request. Values only; moves between threads.
struct FetchSpec {
  // Names the fetch in the log.
  std::string id;
  // Who asked, from the metadata `fetchd-caller`; "-" if nobody said.
  std::string caller = "-";
  std::string method = "GET";
  Url url;
  // As the caller gave them; without host and the framing fields, which the exchange writes itself.
  Headers headers;
  // The whole body, unless FetchCall::request_body streams it.
  std::string body;
  Timeouts timeouts;
  RetryOptions retry;
  HedgeOptions hedge;
  Priority priority = Priority::kNormal;
  // Of the caller: one of weight 3 goes three times as often as one of weight 1, where callers wait. 1 or more.
  uint32_t weight = 1;
  // Of the body as the caller gets it. A coded body is kept within it when decoded.
  BodyLimit body_limit;
  // How long a request with a body holds it back until the origin says 100 (Continue) or gives its answer; 0: not at
  // all.
  Duration expect_continue{};
  Decoding decoding = Decoding::kPassThrough;
  // What the response's body must be, and which part of it is wanted; null: whatever it is, all of it.
  std::shared_ptr<const BodyContract> contract;
  Route route;
  // Redirects and session; null: neither.
  std::shared_ptr<const HopOptions> hops;
  // The proxy that the request named ("direct": none at all); null: it left that to the server. What comes of it is in
  // `route`.
  std::shared_ptr<const std::string> wanted_proxy;
  // What the caller is told of how it went: Outcome::trace is set unless kNone.
  Explain explain = Explain::kNone;
  // When the fetch must have ended: the earlier of the total timeout and the RPC deadline less its margin.
  Instant deadline = kNever;
};

}  // namespace fetchd::server
