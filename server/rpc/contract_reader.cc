#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/text.h"
#include "fetch/json_items.h"
#include "model/body_contract.h"
#include "rpc/field_rules.h"
#include "rpc/request_reader.h"
#include "rpc/violations.h"

namespace fetchd::server {
namespace {

constexpr int kMaxContentTypes = 32;
constexpr size_t kSha256HexDigits = 64;

// "type/subtype", "type/*" or "*/*", without parameters.
bool IsMediaRange(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == text.npos) return false;
  const std::string_view type = text.substr(0, slash), subtype = text.substr(slash + 1);
  // '*' is a token too, by itself or inside of one, where it would stand for itself.
  if (!IsToken(type) || !IsToken(subtype)) return false;
  if (type == "*") return subtype == "*";
  return type.find('*') == type.npos && (subtype == "*" || subtype.find('*') == subtype.npos);
}

}  // namespace

void RequestReader::ReadDecoding(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                                 FetchSpec& spec) {
  const v1::BodyPolicy::Coding coding = request.body_policy().coding();
  if (coding == v1::BodyPolicy::CODING_PASS_THROUGH) return;
  if (!v1::BodyPolicy::Coding_IsValid(coding))
    return violations.Add(prefix, "body_policy.coding", "is not a known value");
  bool accept_encoding = false, range = false;
  for (const HeaderView field : spec.headers) {
    accept_encoding = accept_encoding || field.name == "accept-encoding";
    range = range || field.name == "range";
  }
  if (accept_encoding || range) {
    if (coding == v1::BodyPolicy::CODING_DECODE) spec.decoding = Decoding::kDecode;
    return;
  }
  spec.decoding = spec.method == "HEAD" ? Decoding::kDecode : Decoding::kAskAndDecode;
}

void RequestReader::ReadContract(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                                 FetchSpec& spec) const {
  auto contract = std::make_shared<BodyContract>();
  const v1::Expectations& expect = request.expect();
  if (expect.content_types_size() > kMaxContentTypes)
    violations.Add(prefix, "expect.content_types", "has more than 32 items");
  for (int i = 0; i < std::min(expect.content_types_size(), kMaxContentTypes); ++i) {
    const std::string& type = expect.content_types(i);
    if (!IsMediaRange(type))
      violations.Add(prefix, Concat("expect.content_types[", i, "]"),
                     "must be a media type without parameters, such as application/json, text/* or */*");
    contract->content_types.push_back(Lower(type));
  }
  if (!expect.sha256().empty()) {
    const std::string& hex = expect.sha256();
    if (hex.size() != kSha256HexDigits || !std::all_of(hex.begin(), hex.end(), IsHexDigit)) {
      violations.Add(prefix, "expect.sha256", "must be 64 hexadecimal digits");
    } else {
      const std::string bytes = absl::HexStringToBytes(hex);
      std::copy(bytes.begin(), bytes.end(), contract->sha256.emplace().begin());
    }
  }
  switch (expect.digest()) {
    case v1::Expectations::DIGEST_UNSPECIFIED:
    case v1::Expectations::DIGEST_IGNORE:
      break;
    case v1::Expectations::DIGEST_VERIFY:
      contract->digest = BodyContract::Digest::kIfPresent;
      break;
    case v1::Expectations::DIGEST_REQUIRE:
      contract->digest = BodyContract::Digest::kRequire;
      break;
    default:
      violations.Add(prefix, "expect.digest", "is not a known value");
  }
  contract->json = expect.json();
  contract->max_held_bytes = options_.max_selected_body_bytes;
  if (request.has_select()) {
    const absl::Status valid = ValidateJsonPointer(request.select());
    if (!valid.ok()) violations.Add(prefix, "select", std::string(valid.message()));
    contract->select = request.select();
    contract->select_limit = spec.body_limit;
    spec.body_limit = {.max_bytes = options_.max_selected_body_bytes, .truncate = false};
  }
  spec.contract = std::move(contract);
}

}  // namespace fetchd::server
