// Collects what is wrong with a request.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "rpc/request_reader.h"

namespace fetchd::server {

class RequestReader::Violations {
 public:
  // `prefix` is "" or ends with a dot.
  void Add(std::string_view prefix, std::string_view field, std::string_view description) {
    bad_.push_back({Concat(prefix, field), std::string(description)});
  }
  // The URL is well-formed and forbidden; counts only if nothing is malformed.
  void Forbid(std::string_view prefix, std::string_view field, std::string_view description) {
    forbidden_ = FieldViolation{Concat(prefix, field), std::string(description)};
  }
  // Puts `prefix` before the path of each field so far.
  void PrependToPaths(std::string_view prefix) {
    for (FieldViolation& violation : bad_) violation.field.insert(0, prefix);
    if (forbidden_) forbidden_->field.insert(0, prefix);
  }
  bool any() const { return !bad_.empty() || forbidden_.has_value(); }
  // Requires any().
  Refusal Take() && {
    if (!bad_.empty()) return InvalidRequest{std::move(bad_)};
    return UrlForbidden{*std::move(forbidden_)};
  }

 private:
  std::vector<FieldViolation> bad_;
  std::optional<FieldViolation> forbidden_;
};

}  // namespace fetchd::server
