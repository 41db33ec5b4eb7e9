// Link fields: a broken one is never taken for the end of a list, and fields together say what each of them says.
//
// Input, by lines: a relation type, then one Link field in each line.
#include "policy/link_header.h"

#include <optional>
#include <string>
#include <vector>

#include "check.h"

namespace fetchd::server {
namespace {

using Found = absl::StatusOr<std::optional<std::string>>;

Found Find(const std::vector<std::string_view>& fields, std::string_view rel) {
  Headers headers;
  for (const std::string_view field : fields) headers.Add("link", field);
  return FindLink(headers, rel);
}

void Try(std::string_view input) {
  const std::string_view rel = TakeLine(input);
  std::vector<std::string_view> fields;
  while (!input.empty()) fields.push_back(TakeLine(input));
  const Found together = Find(fields, rel);
  if (!together.ok()) {
    Require(!together.status().message().empty(), "a refusal has a reason");
  } else if (*together) {
    bool there = false;
    for (const std::string_view field : fields) there = there || field.find(**together) != field.npos;
    Require(there, "a target is as it stands in a field");
    Require((*together)->find('>') == std::string::npos, "a target ends where its bracket does");
  }

  std::string joined;
  std::optional<std::string> first;
  bool all_well = true;
  for (const std::string_view field : fields) {
    const Found alone = Find({field}, rel);
    all_well = all_well && alone.ok();
    if (!all_well) break;
    if (!first) first = *alone;
    if (!joined.empty()) joined += ", ";
    joined += field;
  }
  if (!all_well || joined.size() > kMaxLinkHeaderSize) return;
  Require(together.ok() && *together == first, "the first link of several fields is that of the first that has one");
  const Found as_one = Find({joined}, rel);
  Require(as_one.ok() && *as_one == first, "fields and one list of them say the same");
}

}  // namespace
}  // namespace fetchd::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fetchd::server::Try(fetchd::server::Text(data, size));
  return 0;
}
