// What the sections of the configuration come to for an origin and a profile.
#pragma once

#include "config/schema.h"

namespace fetchd::server {

// The sections at the top with those of `rule` laid over them, then those of `profile`; either may be null. No hosts.
// `config` has its defaults filled in.
::fetchd::config::v1::OriginRule EffectiveSections(const ServerConfig& config,
                                                   const ::fetchd::config::v1::OriginRule* rule,
                                                   const ::fetchd::config::v1::Profile* profile);

}  // namespace fetchd::server
