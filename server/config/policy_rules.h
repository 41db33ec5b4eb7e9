// The policies of the configuration for policy/.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "config/schema.h"
#include "policy/policy_book.h"

namespace fetchd::server {

// The rules, profiles, callers and proxies of `config`, which was loaded without complaints. Of the proxies' secrets it
// has none.
PolicyRules MakePolicyRules(const ServerConfig& config);

// Whose fetch of what.
struct PolicyQuestion {
  std::string url;
  // Empty: one without a rule, or no profile.
  std::string caller;
  std::string profile;
};

// What holds for such a fetch, as YAML: the rule that matched, the caller's weight, and every value of the sections of
// a rule. InvalidArgument, saying so, if the URL is malformed or there is no such profile.
absl::StatusOr<std::string> EffectivePolicyYaml(const ServerConfig& config, const PolicyQuestion& question);

}  // namespace fetchd::server
