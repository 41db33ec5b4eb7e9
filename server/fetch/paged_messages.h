// What FetchPaged asks for and gives back, in terms of the model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "model/failure.h"
#include "model/headers.h"
#include "model/request.h"
#include "model/response_head.h"
#include "model/trace.h"
#include "policy/pagination.h"

namespace fetchd::server {

enum class PagedUnit : uint8_t { kPage, kItem };

// A validated FetchPagedRequest.
struct PagedSpec {
  // The first page's request. Each page gets a copy with its own URL, the id with "." and the page's number added, and
  // a deadline of its own; `deadline` is not read.
  FetchSpec request;
  PagingRules rules;
  // JSON pointer to the array of items (ValidateJsonPointer). Required by kItem, offset, page number and max_items.
  std::optional<std::string> items;
  PagedUnit unit = PagedUnit::kPage;
  // When the last page must have ended: the RPC deadline less its margin.
  Instant deadline = kNever;
  // From ResumeTokens::Open; unset: from the start.
  std::optional<PagingState> resume;
};

// Binds a resume token to the request: a hash of what decides which pages and items come. Timeouts, retry and body
// policies, explain and the values of sensitive headers are left out, so that a call can be resumed with more patience
// or a fresh access token. 32 bytes.
std::string PagedRequestHash(const PagedSpec& spec);

// A whole page.
struct PagedPage {
  ResponseHead head;
  std::string body;
  // The body was cut as body_limit asked.
  bool truncated = false;
  Headers trailers;
  // From 1, counted over resumed calls.
  uint64_t number = 0;
  // Items in it; 0 if items are not looked for.
  uint64_t item_count = 0;
};

// Items of one page: at most 1,000, and at most 1 MiB unless one alone is larger.
struct PagedItems {
  // Slices of `body`.
  std::vector<std::string_view> items;
  // The page's body; keeps the slices alive.
  std::shared_ptr<const std::string> body;
  // From 1, counted over resumed calls.
  uint64_t page = 0;
};

// A message to the caller.
struct PagedMessage {
  std::variant<PagedPage, PagedItems> content;
  std::string resume_token;
  // With the page's first message: how it was fetched, if the caller asked (FetchSpec::explain).
  std::unique_ptr<Trace> trace;
};

// Why a page is missing, with what came of it.
struct PagedError {
  Failure failure;
  // The same request may succeed later: a transient failure, or a status such as 503.
  bool retryable = false;
  // Of the page that failed, redacted.
  std::string url;
  // What was received of the response, if it began.
  std::optional<ResponseHead> head;
  std::string body;
  bool truncated = false;
  Headers trailers;
  std::optional<WallTime> retry_at;
  // Followed before it failed; null: none.
  std::shared_ptr<const RedirectChain> redirects;
};

// The end of a list.
struct PagedEnd {
  // Numbers are those of fetchd.v1.PagedEnd.Reason.
  enum class Reason : uint8_t {
    kLastPage = 1,
    kMaxPages = 2,
    kMaxItems = 3,
    kError = 4,
    kDraining = 5,
    // Not in the proto: answers PagedFetch::Cancel; nothing is sent.
    kCancelled = 200,
  };
  Reason reason = Reason::kLastPage;
  // Set with kError.
  std::optional<PagedError> error;
  // Received from the start of the list, over resumed calls.
  uint64_t pages = 0;
  uint64_t items = 0;
  // Empty where there is nothing to continue.
  std::string resume_token;
  // Of the last page, if no message had it.
  std::unique_ptr<Trace> trace;
};

}  // namespace fetchd::server
