// What is known of origins, for those who ask from other threads: OriginService and AdminService.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "engine/origin_snapshot.h"
#include "model/origin.h"
#include "model/request.h"
#include "net/task.h"

namespace fetchd::server {

// Which origins, in the order of their names.
struct OriginFilter {
  // Empty: all.
  std::string host_contains;
  // Only names after it.
  std::string after;
  size_t limit = SIZE_MAX;
};

// What a fetch would meet; numbers of the verdicts are those of fetchd.v1.CheckUrlResponse.Verdict.
struct UrlCheck {
  enum class Verdict : uint8_t { kUnknown = 0, kGo = 1, kWait = 2, kRefused = 3 };
  struct Address {
    IpAddress address;
    bool allowed = false;
    // If not allowed.
    std::string reason;
  };

  OriginSnapshot origin;
  std::vector<Address> addresses;
  // Why there are none.
  std::string dns_error;
  // kUnknown if no address is allowed.
  Verdict verdict = Verdict::kUnknown;
  // Of kWait and kRefused, if it is known; and the rule that says so.
  std::optional<WallTime> at;
  std::string_view limit;
};

// What an operator does to an origin.
struct OriginAct {
  enum class Kind : uint8_t { kReset, kOpen, kClose };
  Kind kind = Kind::kReset;
  Origin origin;
  // Of kOpen; unset: until told otherwise.
  std::optional<Duration> duration;
  // Who asked, for the log.
  std::string caller;
};

// Answers come on the thread of `home`, posted, whatever the owners' threads are doing; none after these have ended.
// Methods are for any thread. Outlives what it was asked.
class OriginBoard {
 public:
  using OnList = absl::AnyInvocable<void(std::vector<OriginSnapshot>)>;
  using OnCheck = absl::AnyInvocable<void(UrlCheck)>;
  // Null: the origin is not known.
  using OnOrigin = absl::AnyInvocable<void(std::optional<OriginSnapshot>)>;

  virtual ~OriginBoard() = default;
  virtual void List(OriginFilter filter, Executor home, OnList done) = 0;
  virtual void Get(Origin origin, Executor home, OnOrigin done) = 0;
  // `spec.url` has passed FetchStarter::CheckUrl. Ends by spec.deadline.
  virtual void Check(FetchSpec spec, Executor home, OnCheck done) = 0;
  virtual void Act(OriginAct act, Executor home, OnOrigin done) = 0;
};

}  // namespace fetchd::server
