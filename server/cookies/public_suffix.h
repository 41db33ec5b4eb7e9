// The public suffix list.
#pragma once

#include <string>

namespace fetchd::server {

// Whether anybody can register names below `domain` (lower case), such as "com" or "co.uk", so that a cookie for all of
// them would be everybody's. By the newest list that libpsl finds on this machine; a name of one label is one unless
// the list says otherwise. Thread-safe.
bool IsPublicSuffix(const std::string& domain);

}  // namespace fetchd::server
