// Finds the next page of a list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "model/failure.h"
#include "model/headers.h"
#include "model/url.h"

namespace fetchd::server {

// The strategies of fetchd.v1.FetchPagedRequest; each field has the meaning of the same field there.
struct LinkHeaderPaging {
  std::string rel = "next";
};
struct NextUrlPaging {
  std::string pointer;
};
struct CursorPaging {
  // JSON pointer, unless `header` is set.
  std::string pointer;
  // Response header in lower case; empty: `pointer` counts.
  std::string header;
  std::string param;
  bool drop_other_params = false;
};
struct OffsetPaging {
  std::string param;
  uint64_t start = 0;
  uint64_t limit = 0;
  std::string limit_param;
};
struct PageNumberPaging {
  std::string param;
  uint64_t start = 1;
  uint64_t page_size = 0;
};
using PagingStrategy = std::variant<LinkHeaderPaging, NextUrlPaging, CursorPaging, OffsetPaging, PageNumberPaging>;

// How a list is followed and when it ends.
struct PagingRules {
  PagingStrategy strategy;
  // Pages of one call, at least 1.
  uint64_t max_pages = 10000;
  // Items of one call; 0: no limit.
  uint64_t max_items = 0;
  bool allow_other_origins = false;

  // The JSON pointer the strategy reads in each page, or nullopt.
  std::optional<std::string_view> ValuePointer() const;
  // The strategy counts on the server to advance by itself, so that the same page twice in a row means that it does
  // not.
  bool WatchesForIdenticalPages() const;
};

// A place in a list, between two messages: what a resume token holds. A value; its first state is InitialPagingState.
struct PagingState {
  // Next URL or cursor, as the strategy has it; empty: the first page.
  std::string next;
  // Next offset or page number.
  uint64_t number = 0;
  // Pages before this one, and items delivered so far, both from the start of the list.
  uint64_t pages = 0;
  uint64_t items = 0;
  // `pages` and `items` where the limits of rules began to count: an end by a limit lets the next call have as many
  // again.
  uint64_t pages_base = 0;
  uint64_t items_base = 0;
  // Items of this page that were already delivered.
  uint64_t skip = 0;
  // This page was delivered as a whole; it is only read again to find the next one.
  bool delivered = false;
  // The list is over.
  bool done = false;
  // Hash of the page before, if the strategy watches for identical pages.
  std::optional<uint64_t> last_body;
  // Hash of the request of an earlier page (Brent's cycle detection): finds a loop across resumed calls, whose set of
  // pages seen is lost.
  uint64_t anchor = 0;

  bool operator==(const PagingState&) const = default;
};

PagingState InitialPagingState(const PagingRules& rules);

// A value in a page's JSON.
struct JsonValue {
  enum class Kind { kMissing, kNull, kString, kNumber, kOther };
  Kind kind = Kind::kMissing;
  // A string's characters, unescaped; a number's text as it stands there.
  std::string text;
};

// What is known of a page that arrived with a 2xx status.
struct PageFacts {
  // What was asked for.
  const Url& url;
  // Where redirects led to; null: there were none.
  const Url* arrived_at = nullptr;
  const Headers& headers;
  // The value at PagingRules::ValuePointer.
  JsonValue value;
  // Items in the page, if items are looked for.
  std::optional<uint64_t> items;
  // A hash of the body that other replicas compute alike; needed if the strategy watches for identical pages.
  std::optional<uint64_t> body_hash;
};

// What follows a page.
struct PageVerdict {
  enum class Next {
    kPage,     // `after` leads to it
    kLast,     // nothing; `after` is done
    kFailed,   // `failure` says why it cannot be had; the page itself is good
    kRefused,  // `failure` says what is wrong with this page: none of it may be delivered
  };
  Next next = Next::kLast;
  // The state after this page, but for `items`, which the deliverer counts. Set with kPage and kLast.
  PagingState after;
  Failure failure;
  // With kFailed, the next page's URL, redacted, if it could be told.
  std::string url;
};

// The decisions of one FetchPaged call: no I/O, no clock, no thread. Remembers which pages it has seen, so there is one
// for each call; at most 8 bytes for each of max_pages.
class Pagination {
 public:
  // `first` is the request's URL.
  Pagination(PagingRules rules, Url first);

  // The URL of the page at `at`. InvalidArgument if the strategy's parameters do not fit into a URL.
  absl::StatusOr<Url> PageUrl(const PagingState& at) const;
  // What follows the page at `at`.
  PageVerdict Decide(const PagingState& at, const PageFacts& page);

  // Has this call had its pages, or its items?
  bool PagesExhausted(const PagingState& at) const { return at.pages - at.pages_base >= rules_.max_pages; }
  bool ItemsExhausted(const PagingState& at) const { return ItemsAllowed(at) == 0; }
  // How many more items it may have; UINT64_MAX: any.
  uint64_t ItemsAllowed(const PagingState& at) const;
  // Sensitive headers go only to the origin the caller named.
  bool MaySendSecrets(const Url& url) const { return url.origin() == first_.origin(); }

  const PagingRules& rules() const { return rules_; }

 private:
  PageVerdict ByUrl(const PagingState& at, PagingState after, const PageFacts& page, std::string_view reference);
  PageVerdict Follow(const PagingState& at, PagingState after, const Url& url);

  PagingRules rules_;
  Url first_;
  absl::flat_hash_set<uint64_t> seen_;
};

}  // namespace fetchd::server
