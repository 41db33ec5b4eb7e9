#include "cookies/public_suffix.h"

#include <libpsl.h>

namespace fetchd::server {

bool IsPublicSuffix(const std::string& domain) {
  // Read once, never freed: some thread may ask to the end.
  static const psl_ctx_t* const list = psl_latest(nullptr);
  std::string name = domain;
  if (name.ends_with('.')) name.pop_back();
  // Without a list at all no cookie is for more than its host.
  return list == nullptr || psl_is_public_suffix2(list, name.c_str(), PSL_TYPE_ANY) == 1;
}

}  // namespace fetchd::server
