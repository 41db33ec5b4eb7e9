#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "fetch/json_items.h"
#include "http/form_body.h"
#include "http/multipart_body.h"
#include "rpc/field_rules.h"
#include "rpc/request_reader.h"
#include "rpc/violations.h"

namespace fetchd::server {
namespace {

constexpr int kMaxParts = 1'000;
constexpr size_t kMaxPartNameBytes = 4 * 1024;

// A name in a part's header. What is wrong with it, or null.
const char* CheckPartName(std::string_view name) {
  if (name.size() > kMaxPartNameBytes) return "must have at most 4 KiB";
  const auto control = [](char c) { return (c >= 0 && c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == '\x7f'; };
  // Origins differ in what they make of them, some take them for the end of the line.
  if (std::any_of(name.begin(), name.end(), control)) return "must not contain control characters but TAB, CR and LF";
  return nullptr;
}

BodyPart ToPart(const v1::MultipartPart& part) {
  return {.name = part.name(), .filename = part.filename(), .content_type = part.content_type(), .data = part.data()};
}

}  // namespace

void RequestReader::CheckPart(const v1::MultipartPart& part, std::string_view prefix, Violations& violations) {
  if (part.name().empty()) violations.Add(prefix, "name", "is required");
  if (const char* wrong = CheckPartName(part.name())) violations.Add(prefix, "name", wrong);
  if (const char* wrong = CheckPartName(part.filename())) violations.Add(prefix, "filename", wrong);
  if (const char* wrong = CheckHeaderValue(part.content_type())) violations.Add(prefix, "content_type", wrong);
}

void RequestReader::ReadBody(v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                             FetchSpec& spec) {
  const char* kind = nullptr;
  const auto is = [&](bool set, const char* name) {
    if (!set) return false;
    if (kind != nullptr) {
      violations.Add(prefix, name, Concat("must not be set beside ", kind));
      return false;
    }
    kind = name;
    return true;
  };
  const auto describe = [&](std::string_view content_type) {
    if (!spec.headers.Has("content-type")) spec.headers.Add("content-type", content_type);
  };
  if (is(!request.body().empty(), "body")) spec.body = std::move(*request.mutable_body());
  if (is(!request.form().empty(), "form")) {
    for (const v1::FormField& field : request.form()) AppendFormField(field.name(), field.value(), spec.body);
    describe(kFormContentType);
  }
  if (is(request.has_json(), "json")) {
    const absl::Status valid = CheckJson(request.json(), "the text");
    if (!valid.ok()) violations.Add(prefix, "json", std::string(valid.message()));
    spec.body = std::move(*request.mutable_json());
    describe("application/json");
  }
  if (is(request.has_multipart(), "multipart")) {
    ReadMultipart(request.multipart(), prefix, violations, spec);
  }
}

void RequestReader::ReadMultipart(const v1::MultipartBody& body, std::string_view prefix, Violations& violations,
                                  FetchSpec& spec) {
  if (body.parts().empty()) violations.Add(prefix, "multipart.parts", "must have at least one item");
  if (body.parts_size() > kMaxParts) {
    violations.Add(prefix, "multipart.parts", Concat("has ", body.parts_size(), " items, at most 1000 are allowed"));
    return;
  }
  std::vector<BodyPart> parts;
  size_t bytes = 0;
  for (int i = 0; i < body.parts_size(); ++i) {
    CheckPart(body.parts(i), Concat(prefix, "multipart.parts[", i, "]."), violations);
    parts.push_back(ToPart(body.parts(i)));
    bytes += body.parts(i).ByteSizeLong();
  }
  const std::string boundary = BoundaryOf(parts);
  constexpr size_t kFixedBytes = 160;
  spec.body.reserve(bytes + (parts.size() + 1) * (boundary.size() + kFixedBytes));
  for (const BodyPart& part : parts) AppendPart(boundary, spec.body.empty(), part, spec.body);
  AppendMultipartEnd(boundary, spec.body);
  AddMultipartType(boundary, prefix, violations, spec);
}

void RequestReader::AddMultipartType(std::string_view boundary, std::string_view prefix, Violations& violations,
                                     FetchSpec& spec) {
  if (spec.headers.Has("content-type"))
    return violations.Add(prefix, "headers", "must not have content-type with a multipart body: it needs its boundary");
  spec.headers.Add("content-type", MultipartContentType(boundary));
}

std::variant<std::string, Refusal> RequestReader::ReadPart(const v1::MultipartPart& part, std::string_view boundary,
                                                           bool first) {
  Violations violations;
  CheckPart(part, "part.", violations);
  if (violations.any()) return std::move(violations).Take();
  std::string text;
  AppendPart(boundary, first, ToPart(part), text);
  return text;
}

}  // namespace fetchd::server
