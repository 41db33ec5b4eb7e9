#include <algorithm>
#include <string>
#include <utility>

#include "base/text.h"
#include "fetch/json_items.h"
#include "fetch/resume_token.h"
#include "model/redirect.h"
#include "rpc/field_rules.h"
#include "rpc/request_reader.h"
#include "rpc/violations.h"

namespace fetchd::server {

PagingRules RequestReader::ReadPagingRules(const v1::FetchPagedRequest& request, Violations& violations) const {
  PagingRules rules;
  rules.max_pages =
      request.max_pages() > 0 ? std::min<uint64_t>(request.max_pages(), options_.max_pages) : options_.max_pages;
  rules.max_items = request.max_items();
  rules.allow_other_origins = request.allow_other_origins();

  const auto require = [&](std::string_view value, std::string_view field) {
    if (value.empty()) violations.Add("", field, "is required");
  };
  const auto pointer = [&](std::string_view value, std::string_view field) {
    if (value.empty()) return violations.Add("", field, "is required");
    const absl::Status valid = ValidateJsonPointer(value);
    if (!valid.ok()) violations.Add("", field, std::string(valid.message()));
  };
  switch (request.strategy_case()) {
    case v1::FetchPagedRequest::kLinkHeader: {
      LinkHeaderPaging paging;
      if (!request.link_header().rel().empty()) paging.rel = request.link_header().rel();
      rules.strategy = std::move(paging);
      break;
    }
    case v1::FetchPagedRequest::kNextUrl:
      pointer(request.next_url().pointer(), "next_url.pointer");
      rules.strategy = NextUrlPaging{request.next_url().pointer()};
      break;
    case v1::FetchPagedRequest::kCursor: {
      const v1::CursorStrategy& cursor = request.cursor();
      CursorPaging paging;
      paging.param = cursor.param();
      paging.drop_other_params = cursor.drop_other_params();
      if (cursor.source_case() == v1::CursorStrategy::kPointer) {
        pointer(cursor.pointer(), "cursor.pointer");
        paging.pointer = cursor.pointer();
      } else if (cursor.source_case() == v1::CursorStrategy::kHeader) {
        if (!IsToken(cursor.header())) violations.Add("", "cursor.header", "must be a token (RFC 9110)");
        paging.header = Lower(cursor.header());
      } else {
        violations.Add("", "cursor.source", "needs one of pointer and header");
      }
      require(cursor.param(), "cursor.param");
      rules.strategy = std::move(paging);
      break;
    }
    case v1::FetchPagedRequest::kOffset: {
      const v1::OffsetStrategy& offset = request.offset();
      require(offset.param(), "offset.param");
      rules.strategy = OffsetPaging{offset.param(), offset.start(), offset.limit(), offset.limit_param()};
      break;
    }
    case v1::FetchPagedRequest::kPageNumber: {
      const v1::PageNumberStrategy& number = request.page_number();
      require(number.param(), "page_number.param");
      rules.strategy = PageNumberPaging{number.param(), number.has_start() ? number.start() : 1, number.page_size()};
      break;
    }
    case v1::FetchPagedRequest::STRATEGY_NOT_SET:
      violations.Add("", "strategy", "needs one of link_header, next_url, cursor, offset and page_number");
      break;
  }
  return rules;
}

std::variant<PagedSpec, Refusal> RequestReader::ReadPaged(v1::FetchPagedRequest&& request, const ResumeTokens& tokens,
                                                          const RpcFacts& facts) const {
  Violations violations;
  PagedSpec spec;
  spec.rules = ReadPagingRules(request, violations);
  spec.unit = request.unit() == v1::FetchPagedRequest::UNIT_ITEM ? PagedUnit::kItem : PagedUnit::kPage;
  spec.deadline = facts.answer_by;
  if (!v1::FetchPagedRequest::Unit_IsValid(request.unit())) violations.Add("", "unit", "is not a known value");
  if (request.has_items()) {
    const absl::Status valid = ValidateJsonPointer(request.items());
    if (!valid.ok()) violations.Add("", "items", std::string(valid.message()));
    spec.items = request.items();
  } else {
    const char* who = nullptr;
    if (spec.unit == PagedUnit::kItem) who = "is required by UNIT_ITEM";
    if (request.max_items() > 0) who = "is required by max_items";
    if (request.has_offset()) who = "is required by offset";
    if (request.has_page_number()) who = "is required by page_number";
    if (who != nullptr) violations.Add("", "items", who);
  }
  if (request.request().retry().mint_idempotency_key())
    violations.Add("request.", "retry.mint_idempotency_key", "is not for pages, each of which is another request");
  if (request.request().has_select())
    violations.Add("request.", "select", "is not for pages: `items` says what is wanted of them");
  spec.request = ReadSpec(std::move(*request.mutable_request()), Shape::kWholeBody, facts, "request.", violations);
  if (!spec.rules.allow_other_origins && spec.request.hops && spec.request.hops->mode == RedirectMode::kFollow) {
    HopOptions hops = *spec.request.hops;
    hops.mode = RedirectMode::kSameOrigin;
    spec.request.hops = std::make_shared<const HopOptions>(std::move(hops));
  }
  if (!violations.any() && !request.resume_token().empty()) {
    auto state = tokens.Open(request.resume_token(), facts.caller, PagedRequestHash(spec), facts.wall_now);
    if (state.ok()) {
      spec.resume = *std::move(state);
    } else {
      violations.Add("", "resume_token", std::string(state.status().message()));
    }
  }
  if (violations.any()) return std::move(violations).Take();
  return spec;
}

}  // namespace fetchd::server
