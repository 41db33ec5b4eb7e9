// What each room gets of the configuration. Rooms never see the config proto.
#pragma once

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "config/load.h"
#include "config/policy_rules.h"
#include "cookies/cookie_store.h"
#include "engine/engine_options.h"
#include "fetch/resume_token.h"
#include "guard/address_guard.h"
#include "guard/url_guard.h"
#include "ops/ops_server.h"
#include "rpc/server.h"
#include "telemetry/access_log.h"
#include "telemetry/log.h"

namespace fetchd::server {

struct RoomOptions {
  LogOptions log;
  AccessLogOptions access_log;
  AddressGuard::Options address_guard;
  UrlGuard::Options url_guard;
  EngineOptions engine;
  // For the PolicySource that the engine and the readers of requests share.
  PolicyRules policies;
  ResumeTokenOptions tokens;
  CookieStore::Options sessions;
  RpcServerOptions rpc;
  OpsOptions ops;
  // From the signal to the moment when calls in progress are cut off: drain.pause and drain.deadline together.
  Duration drain_time{};
};

// Hands the configuration out to the rooms, and reads the certificates, keys and secrets it names. InvalidArgument if
// some of them cannot be read or are not what they should be, with a line for each as LoadConfig has it.
absl::StatusOr<RoomOptions> MakeRoomOptions(const LoadedConfig& loaded);

}  // namespace fetchd::server
