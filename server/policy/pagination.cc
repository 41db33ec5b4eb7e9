#include "policy/pagination.h"

#include <bit>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/link_header.h"

namespace fetchd::server {
namespace {

// Names a page's request. FNV-1a with a final mix: other replicas must find the same, since one is in the resume token.
uint64_t HashRequest(const Url& url) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : url.text()) hash = (hash ^ c) * 1099511628211u;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93u;
  return hash ^ (hash >> 32);
}

// Something is wrong with the page that came.
PageVerdict Refuse(FailureCode code, std::string detail) {
  PageVerdict verdict;
  verdict.next = PageVerdict::Next::kRefused;
  verdict.failure = {code, Phase::kPaginate, Processed::kYes, std::move(detail)};
  return verdict;
}

// The page that came is good, the one after it is not to be had.
PageVerdict FailNext(FailureCode code, std::string detail, std::string url = "") {
  PageVerdict verdict;
  verdict.url = std::move(url);
  verdict.next = PageVerdict::Next::kFailed;
  verdict.failure = {code, Phase::kPaginate, Processed::kNo, std::move(detail)};
  return verdict;
}

PageVerdict Last(PagingState after) {
  PageVerdict verdict;
  verdict.next = PageVerdict::Next::kLast;
  after.done = true;
  verdict.after = std::move(after);
  return verdict;
}

absl::StatusOr<Url> WithNumber(const Url& url, std::string_view param, uint64_t number) {
  return url.WithQueryParam(param, absl::StrCat(number));
}

}  // namespace

std::optional<std::string_view> PagingRules::ValuePointer() const {
  if (const auto* next_url = std::get_if<NextUrlPaging>(&strategy)) return next_url->pointer;
  const auto* cursor = std::get_if<CursorPaging>(&strategy);
  if (cursor != nullptr && cursor->header.empty()) return cursor->pointer;
  return std::nullopt;
}

bool PagingRules::WatchesForIdenticalPages() const {
  return std::holds_alternative<OffsetPaging>(strategy) || std::holds_alternative<PageNumberPaging>(strategy);
}

PagingState InitialPagingState(const PagingRules& rules) {
  PagingState state;
  if (const auto* offset = std::get_if<OffsetPaging>(&rules.strategy)) state.number = offset->start;
  if (const auto* page = std::get_if<PageNumberPaging>(&rules.strategy)) state.number = page->start;
  return state;
}

Pagination::Pagination(PagingRules rules, Url first) : rules_(std::move(rules)), first_(std::move(first)) {}

uint64_t Pagination::ItemsAllowed(const PagingState& at) const {
  if (rules_.max_items == 0) return std::numeric_limits<uint64_t>::max();
  const uint64_t had = at.items - at.items_base;
  return had >= rules_.max_items ? 0 : rules_.max_items - had;
}

absl::StatusOr<Url> Pagination::PageUrl(const PagingState& at) const {
  if (const auto* offset = std::get_if<OffsetPaging>(&rules_.strategy)) {
    absl::StatusOr<Url> url = WithNumber(first_, offset->param, at.number);
    if (!url.ok() || offset->limit_param.empty() || offset->limit == 0) return url;
    return WithNumber(*url, offset->limit_param, offset->limit);
  }
  if (const auto* page = std::get_if<PageNumberPaging>(&rules_.strategy)) {
    return WithNumber(first_, page->param, at.number);
  }
  if (at.next.empty()) return first_;
  if (const auto* cursor = std::get_if<CursorPaging>(&rules_.strategy)) {
    return first_.WithQueryParam(cursor->param, at.next, cursor->drop_other_params);
  }
  return Url::Parse(at.next);
}

PageVerdict Pagination::Decide(const PagingState& at, const PageFacts& page) {
  seen_.insert(HashRequest(page.url));
  const uint64_t items = page.items.value_or(0);
  PagingState after = at;
  after.next.clear();
  after.pages = at.pages + 1;
  after.skip = 0;
  after.delivered = false;
  after.last_body.reset();

  if (rules_.WatchesForIdenticalPages()) {
    if (items > 0 && page.body_hash && at.last_body == page.body_hash) {
      return Refuse(FailureCode::kPaginationLoop,
                    absl::StrCat("page ", after.pages, " is identical to the page before: the origin ignores the ",
                                 std::holds_alternative<OffsetPaging>(rules_.strategy) ? "offset" : "page number"));
    }
    after.last_body = page.body_hash;
    uint64_t wanted = 0;
    // Whatever the limit was, as many items as came lie before the next page.
    uint64_t step = items;
    if (const auto* offset = std::get_if<OffsetPaging>(&rules_.strategy)) {
      wanted = offset->limit;
    } else {
      wanted = std::get<PageNumberPaging>(rules_.strategy).page_size;
      step = 1;
    }
    if (items == 0 || items < wanted) return Last(std::move(after));
    if (step > std::numeric_limits<uint64_t>::max() - at.number) {
      return FailNext(FailureCode::kPaginationLoop, "the next page's number would start again from 0");
    }
    after.number = at.number + step;
    absl::StatusOr<Url> url = PageUrl(after);
    if (!url.ok()) return Refuse(FailureCode::kPageInvalid, std::string(url.status().message()));
    return Follow(at, std::move(after), *url);
  }

  if (const auto* link = std::get_if<LinkHeaderPaging>(&rules_.strategy)) {
    absl::StatusOr<std::optional<std::string>> target = FindLink(page.headers, link->rel);
    if (!target.ok()) return Refuse(FailureCode::kPageInvalid, std::string(target.status().message()));
    if (!target->has_value()) return Last(std::move(after));
    return ByUrl(at, std::move(after), page, **target);
  }

  if (std::holds_alternative<NextUrlPaging>(rules_.strategy)) {
    switch (page.value.kind) {
      case JsonValue::Kind::kMissing:
      case JsonValue::Kind::kNull:
        return Last(std::move(after));
      case JsonValue::Kind::kString:
        if (page.value.text.empty()) return Last(std::move(after));
        return ByUrl(at, std::move(after), page, page.value.text);
      case JsonValue::Kind::kNumber:
      case JsonValue::Kind::kOther:
        return Refuse(FailureCode::kPageInvalid, "the next URL in the page is not a string");
    }
  }

  const auto& cursor = std::get<CursorPaging>(rules_.strategy);
  if (!cursor.header.empty()) {
    after.next = std::string(page.headers.Find(cursor.header).value_or(""));
  } else if (page.value.kind == JsonValue::Kind::kOther) {
    return Refuse(FailureCode::kPageInvalid, "the cursor in the page is neither a string nor a number");
  } else {
    after.next = page.value.text;
  }
  if (after.next.empty()) return Last(std::move(after));
  absl::StatusOr<Url> url = PageUrl(after);
  if (!url.ok()) {
    return Refuse(FailureCode::kPageInvalid,
                  absl::StrCat("the cursor in the page does not fit into a URL: ", url.status().message()));
  }
  return Follow(at, std::move(after), *url);
}

PageVerdict Pagination::ByUrl(const PagingState& at, PagingState after, const PageFacts& page,
                              std::string_view reference) {
  const Url& base = page.arrived_at != nullptr ? *page.arrived_at : page.url;
  absl::StatusOr<Url> url = base.Resolve(reference);
  if (absl::IsPermissionDenied(url.status())) {
    return FailNext(FailureCode::kDestinationIpProhibited,
                    absl::StrCat("the next page's URL is forbidden: ", url.status().message()));
  }
  if (!url.ok()) {
    return Refuse(FailureCode::kPageInvalid,
                  absl::StrCat("the next page's URL is malformed: ", url.status().message()));
  }
  if (url->origin() != base.origin()) {
    if (!rules_.allow_other_origins) {
      return FailNext(FailureCode::kPageOriginProhibited,
                      absl::StrCat("the next page is on another origin, ", url->origin().ToString(),
                                   ", which allow_other_origins does not permit"),
                      url->Redacted());
    }
    if (base.scheme() == Scheme::kHttps && url->scheme() == Scheme::kHttp) {
      return FailNext(FailureCode::kPageOriginProhibited, "the next page's URL leads from https back to http",
                      url->Redacted());
    }
  }
  after.next = url->text();
  return Follow(at, std::move(after), *url);
}

PageVerdict Pagination::Follow(const PagingState& at, PagingState after, const Url& url) {
  const uint64_t hash = HashRequest(url);
  if (seen_.contains(hash) || (at.pages > 0 && hash == at.anchor)) {
    return FailNext(FailureCode::kPaginationLoop,
                    absl::StrCat("page ", after.pages, " leads back to a page that was already fetched"),
                    url.Redacted());
  }
  after.anchor = std::has_single_bit(after.pages) ? hash : at.anchor;
  PageVerdict verdict;
  verdict.next = PageVerdict::Next::kPage;
  verdict.after = std::move(after);
  return verdict;
}

}  // namespace fetchd::server
