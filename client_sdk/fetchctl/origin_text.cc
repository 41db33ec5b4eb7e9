#include "fetchctl/origin_text.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "fetchctl/trace.h"
#include "google/protobuf/timestamp.pb.h"

namespace fetchd::fetchctl {
namespace {

std::string Text(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ",
                          absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()), absl::UTCTimeZone());
}

std::string Lower(const std::string& name, const char* prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

std::string BreakerText(const v1::OriginBreaker& breaker) {
  std::string text = Lower(v1::OriginBreaker::State_Name(breaker.state()), "STATE_");
  if (breaker.forced()) absl::StrAppend(&text, " by hand");
  if (breaker.has_retry_at()) absl::StrAppend(&text, " until ", Text(breaker.retry_at()));
  return text;
}

}  // namespace

std::string Text(const v1::Origin& origin) {
  std::vector<std::string> parts;
  if (!origin.rule().empty()) parts.push_back(absl::StrCat("rule ", origin.rule()));
  if (origin.has_hold_until()) parts.push_back(absl::StrCat("held until ", Text(origin.hold_until())));
  const v1::OriginBreaker& breaker = origin.breaker();
  if (breaker.consecutive_failures() > 0)
    parts.push_back(absl::StrCat(breaker.consecutive_failures(), " failures in a row"));
  if (breaker.failure_rate() > 0)
    parts.push_back(absl::StrFormat("%.3g %% of %d failed", breaker.failure_rate() * 100, breaker.results()));
  if (breaker.trials_in_flight() > 0) parts.push_back(absl::StrCat(breaker.trials_in_flight(), " trials in flight"));
  const v1::OriginConcurrency& concurrency = origin.concurrency();
  parts.push_back(absl::StrCat(concurrency.in_flight(), " in flight of ", concurrency.limit(),
                               concurrency.adaptive() ? " (adaptive)" : ""));
  const v1::OriginQueue& queue = origin.queue();
  if (const uint32_t waiting = queue.interactive() + queue.normal() + queue.bulk(); waiting > 0)
    parts.push_back(absl::StrCat(waiting, " waiting"));
  if (const v1::OriginRateLimit& rate = origin.rate_limit(); rate.per_second() > 0) {
    std::string text = absl::StrCat("at most ", rate.per_second(), "/s");
    if (rate.has_next_at()) absl::StrAppend(&text, ", the next at ", Text(rate.next_at()));
    parts.push_back(std::move(text));
  }
  const v1::OriginPool& pool = origin.pool();
  parts.push_back(absl::StrCat(pool.open(), " connections (", pool.idle(), " idle)"));
  if (origin.retry_budget().in_flight() > 0)
    parts.push_back(absl::StrCat(origin.retry_budget().in_flight(), " retries in flight"));
  for (const v1::EjectedEndpoint& ejected : origin.ejected())
    parts.push_back(absl::StrCat("without ", ejected.address(), " until ", Text(ejected.until())));
  if (origin.has_latency_p95()) parts.push_back(absl::StrCat("p95 ", Text(origin.latency_p95())));
  return absl::StrCat(origin.name(), "\t", BreakerText(breaker), "\t", absl::StrJoin(parts, ", "));
}

std::string Text(const std::string& url, const v1::CheckUrlResponse& check) {
  std::string text = absl::StrCat(url, check.allowed() ? " may be fetched by " : " may not be fetched by ",
                                  check.caller(), check.allowed() ? "" : ": ", check.reason(), "\n");
  const std::string until =
      absl::StrCat(check.has_at() ? " until " : "", check.has_at() ? Text(check.at()) : "", " (", check.limit(), ")");
  switch (check.verdict()) {
    case v1::CheckUrlResponse::VERDICT_GO:
      absl::StrAppend(&text, "now:      goes at once\n");
      break;
    case v1::CheckUrlResponse::VERDICT_WAIT:
      absl::StrAppend(&text, "now:      waits", until, "\n");
      break;
    case v1::CheckUrlResponse::VERDICT_REFUSED:
      absl::StrAppend(&text, "now:      is refused", until, "\n");
      break;
    default:
      break;
  }
  if (!check.dns_error().empty()) absl::StrAppend(&text, "address:  ", check.dns_error(), "\n");
  for (const v1::ResolvedAddress& address : check.addresses())
    absl::StrAppend(&text, "address:  ", address.address(), address.allowed() ? "" : ", refused: ", address.reason(),
                    "\n");
  if (!check.has_timeouts()) return text;
  const v1::Timeouts& timeouts = check.timeouts();
  absl::StrAppend(&text, "policy:   ", check.retry().max_attempts(), " attempts, total ", Text(timeouts.total()),
                  ", attempt ", Text(timeouts.attempt()), ", queue ", Text(timeouts.queue()), ", priority ",
                  Lower(v1::Priority_Name(check.priority()), "PRIORITY_"), ", weight ", check.weight(),
                  check.hedge().enabled() ? ", hedged" : "", check.proxy().empty() ? "" : ", proxy ", check.proxy(),
                  "\n");
  if (check.has_origin()) absl::StrAppend(&text, "origin:   ", Text(check.origin()), "\n");
  return text;
}

}  // namespace fetchd::fetchctl
