#include "fetchctl/flag_table.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace fetchd::fetchctl {
namespace {

constexpr unsigned kFetching = kGet | kBatch | kStream | kPaged;
// What goes to the listener of callers.
constexpr unsigned kCalling = kFetching | kHealth | kOrigins | kCheck;
constexpr unsigned kAll = kCalling | kAdmin;

using Apply = decltype(Flag::apply);
using Paged = v1::FetchPagedRequest;

Apply Switch(bool Invocation::*field) {
  return [field](Invocation& invocation, const std::string&) {
    invocation.*field = true;
    return absl::OkStatus();
  };
}

Apply Text(std::string Invocation::*field) {
  return [field](Invocation& invocation, const std::string& value) {
    invocation.*field = value;
    return absl::OkStatus();
  };
}

// `set(invocation, value)` cannot fail.
template <typename Set>
Apply Do(Set set) {
  return [set](Invocation& invocation, const std::string& value) {
    set(invocation, value);
    return absl::OkStatus();
  };
}

absl::StatusOr<absl::Duration> ParseSeconds(const std::string& text) {
  double seconds = 0;
  if (!absl::SimpleAtod(text, &seconds) || !(seconds > 0) || seconds > 1e9) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a number of seconds above 0"));
  }
  return absl::Seconds(seconds);
}

Apply Seconds(std::optional<absl::Duration> Invocation::*field) {
  return [field](Invocation& invocation, const std::string& value) {
    absl::StatusOr<absl::Duration> duration = ParseSeconds(value);
    if (duration.ok()) invocation.*field = *duration;
    return duration.status();
  };
}

// `set(invocation, number)` for whole numbers up to `max`.
template <typename Set>
Apply Count(uint64_t max, Set set) {
  return [max, set](Invocation& invocation, const std::string& text) {
    uint64_t count = 0;
    if (!absl::SimpleAtoi(text, &count) || count > max) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a whole number from 0 to ", max));
    }
    set(invocation, count);
    return absl::OkStatus();
  };
}

template <typename Set>
Apply Count(Set set) {
  return Count(std::numeric_limits<int64_t>::max(), set);
}

// `set(invocation, bytes)`, with curl's suffixes k, M and G (powers of 1024).
template <typename Set>
Apply Size(Set set) {
  return [set](Invocation& invocation, const std::string& text) {
    std::string digits = text;
    const char suffix = digits.empty() ? '\0' : absl::ascii_tolower(static_cast<unsigned char>(digits.back()));
    const int shift = suffix == 'k' ? 10 : suffix == 'm' ? 20 : suffix == 'g' ? 30 : 0;
    if (shift != 0) digits.pop_back();
    uint64_t number = 0;
    if (!absl::SimpleAtoi(digits, &number) || number > (std::numeric_limits<uint64_t>::max() >> shift)) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a size such as 4096, 64k or 10M"));
    }
    set(invocation, number << shift);
    return absl::OkStatus();
  };
}

constexpr std::pair<absl::string_view, v1::Priority> kPriorities[] = {
    {"interactive", v1::PRIORITY_INTERACTIVE}, {"normal", v1::PRIORITY_NORMAL}, {"bulk", v1::PRIORITY_BULK}};

Apply Header(bool sensitive) {
  return [sensitive](Invocation& invocation, const std::string& line) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || colon == 0) {
      // Not the line itself: it may hold a secret.
      return absl::InvalidArgumentError("is not 'NAME: VALUE'");
    }
    v1::Header& header = *invocation.request.add_headers();
    header.set_name(line.substr(0, colon));
    header.set_value(std::string(absl::StripAsciiWhitespace(line.substr(colon + 1))));
    header.set_sensitive(sensitive);
    return absl::OkStatus();
  };
}

// Runs `apply` unless a flag before it chose another strategy, which would silently be thrown away.
Apply InStrategy(Paged::StrategyCase strategy, Apply apply) {
  return [strategy, apply = std::move(apply)](Invocation& invocation, const std::string& value) {
    const Paged::StrategyCase chosen = invocation.paged.strategy_case();
    if (chosen != strategy && chosen != Paged::STRATEGY_NOT_SET) {
      return absl::InvalidArgumentError("belongs to another paging strategy than a flag before it; choose one");
    }
    return apply(invocation, value);
  };
}

Apply CursorFrom(bool in_header) {
  return InStrategy(Paged::kCursor, [in_header](Invocation& invocation, const std::string& value) {
    v1::CursorStrategy& cursor = *invocation.paged.mutable_cursor();
    if (cursor.source_case() != v1::CursorStrategy::SOURCE_NOT_SET) {
      return absl::InvalidArgumentError("the cursor has a source already");
    }
    in_header ? cursor.set_header(value) : cursor.set_pointer(value);
    return absl::OkStatus();
  });
}

void AddConnectionFlags(std::vector<Flag>& flags) {
  flags.insert(flags.end(),
               {
                   {0, "target", "ADDRESS", kCalling, "where fetchd is (default: $FETCHD_TARGET, else 127.0.0.1:50051)",
                    Text(&Invocation::target)},
                   {0, "caller", "NAME", kAll, "name for fetchd's log (default: fetchctl)", Text(&Invocation::caller)},
                   {0, "tls", "", kCalling, "speak TLS to fetchd, trusting the system's CAs", Switch(&Invocation::tls)},
                   {0, "tls-ca", "FILE", kCalling, "speak TLS to fetchd, trusting the CAs in this PEM file",
                    Text(&Invocation::tls_ca_file)},
                   {0, "tls-cert", "FILE", kCalling, "client certificate for fetchd (PEM; with --tls-key)",
                    Text(&Invocation::tls_cert_file)},
                   {0, "tls-key", "FILE", kCalling, "its private key", Text(&Invocation::tls_key_file)},
                   {0, "deadline", "SECONDS", kAll, "give up on the whole command's call to fetchd after this",
                    Seconds(&Invocation::deadline)},
               });
}

void AddOriginFlags(std::vector<Flag>& flags) {
  flags.insert(
      flags.end(),
      {
          {0, "host", "TEXT", kOrigins, "only origins whose host has this in it", Text(&Invocation::host)},
          {0, "watch", "", kOrigins, "go on: show each origin again when it changes", Switch(&Invocation::watch)},
          {0, "admin", "ADDRESS", kAdmin, "where operators reach fetchd: its admin.listen", Text(&Invocation::admin)},
          {0, "for", "SECONDS", kAdmin, "with open: how long (default: until close or reset)",
           Seconds(&Invocation::open_time)},
      });
}

void AddRequestFlags(std::vector<Flag>& flags) {
  const Apply add_data = Do([](Invocation& i, const std::string& value) { i.data.push_back(value); });
  flags.insert(
      flags.end(),
      {
          {'X', "request", "METHOD", kFetching | kCheck, "HTTP method (default: GET; POST with -d, PUT with -T)",
           Do([](Invocation& i, const std::string& value) { i.request.set_method(value); })},
          {'H', "header", "NAME:VALUE", kFetching, "add a request header; may be repeated", Header(false)},
          {0, "secret-header", "NAME:VALUE", kFetching, "the same, never to appear in a log", Header(true)},
          {'d', "data", "DATA", kFetching, "request body, byte for byte; @FILE or @- reads it; several are joined by &",
           add_data},
          {0, "data-binary", "DATA", kFetching, "the same as --data", add_data},
          {'I', "head", "", kGet, "send HEAD, show status and headers", Switch(&Invocation::head)},
          {'T', "upload-file", "FILE", kStream, "stream this file (or -) as the request body",
           Text(&Invocation::upload)},
          {'m', "max-time", "SECONDS", kFetching, "longest time for one fetch (get, stream, each item, each page)",
           Seconds(&Invocation::max_time)},
          {0, "connect-timeout", "SECONDS", kFetching, "longest time for connecting to the origin",
           [](Invocation& i, const std::string& value) {
             const absl::StatusOr<absl::Duration> duration = ParseSeconds(value);
             if (duration.ok()) SetDuration(*duration, *i.request.mutable_timeouts()->mutable_connect());
             return duration.status();
           }},
          {0, "retry", "N", kFetching, "retries of a fetch that may be repeated, 0 to 9 (default: 2)",
           Count(9, [](Invocation& i,
                       uint64_t n) { i.request.mutable_retry()->set_max_attempts(static_cast<uint32_t>(n) + 1); })},
          {0, "mint-idempotency-key", "", kFetching, "send a random idempotency-key, the same with all attempts",
           Do([](Invocation& i, const std::string&) { i.request.mutable_retry()->set_mint_idempotency_key(true); })},
          {0, "idempotent", "", kFetching, "sending the request twice is safe, whatever its method",
           Do([](Invocation& i, const std::string&) { i.request.mutable_retry()->set_idempotent(true); })},
          {0, "profile", "NAME", kFetching | kCheck,
           "take what is not said from this profile of fetchd's configuration",
           Do([](Invocation& i, const std::string& value) { i.request.set_profile(value); })},
          {0, "proxy", "NAME", kFetching | kCheck, "go through this proxy of fetchd's configuration, or direct",
           Do([](Invocation& i, const std::string& value) { i.request.mutable_transport()->set_proxy(value); })},
          {0, "priority", "PRIORITY", kFetching, "interactive, normal or bulk, where fetches wait for an origin",
           [](Invocation& i, const std::string& value) {
             for (const auto& [name, priority] : kPriorities) {
               if (name != value) continue;
               i.request.set_priority(priority);
               return absl::OkStatus();
             }
             return absl::InvalidArgumentError(absl::StrCat("'", value, "' is not interactive, normal or bulk"));
           }},
          {'L', "follow", "", kFetching, "follow redirects, up to 10", Do([](Invocation& i, const std::string&) {
             i.request.mutable_redirects()->set_mode(v1::RedirectPolicy::MODE_FOLLOW);
           })},
          {0, "session", "NAME", kFetching, "keep cookies in this session of yours, and send them",
           Do([](Invocation& i, const std::string& value) { i.request.set_session(value); })},
          {0, "max-filesize", "BYTES", kFetching, "fail when a response body is larger (k, M, G are understood)",
           Size([](Invocation& i, uint64_t n) { i.request.mutable_body_policy()->set_max_bytes(n); })},
          {0, "truncate", "", kFetching, "cut larger bodies to --max-filesize instead of failing",
           Do([](Invocation& i, const std::string&) {
             i.request.mutable_body_policy()->set_on_overflow(v1::BodyPolicy::OVERFLOW_TRUNCATE);
           })},
      });
}

void AddBatchFlags(std::vector<Flag>& flags) {
  flags.insert(
      flags.end(),
      {
          {0, "in-order", "", kBatch, "show results in the order of the input, not as they complete",
           Do([](Invocation& i, const std::string&) { i.batch.set_order(v1::FetchBatchRequest::ORDER_INPUT); })},
          {0, "fail-fast", "", kBatch, "the first fetch without a response cancels the others",
           Do([](Invocation& i, const std::string&) {
             i.batch.set_failure_mode(v1::FetchBatchRequest::FAILURE_MODE_FAIL_FAST);
           })},
          {'P', "max-concurrency", "N", kBatch, "fetches in flight at once, up to 1000 (default: 100)",
           Count(1000, [](Invocation& i, uint64_t n) { i.batch.set_max_concurrency(static_cast<uint32_t>(n)); })},
          {0, "output-dir", "DIR", kBatch, "write each body to DIR/INDEX", Text(&Invocation::output_dir)},
      });
}

void AddPagedFlags(std::vector<Flag>& flags) {
  const auto text = [](Paged::StrategyCase strategy, auto set) { return InStrategy(strategy, Do(set)); };
  const auto count = [](Paged::StrategyCase strategy, auto set) { return InStrategy(strategy, Count(set)); };
  flags.insert(
      flags.end(),
      {
          {0, "items", "POINTER", kPaged, "JSON pointer to the items in a page ('' is the page); prints them as NDJSON",
           Do([](Invocation& i, const std::string& value) { i.paged.set_items(value); })},
          {0, "whole-pages", "", kPaged, "print pages although --items is given", Switch(&Invocation::whole_pages)},
          {0, "link-rel", "REL", kPaged, "next page by Link header with this relation (the default, with 'next')",
           text(Paged::kLinkHeader, [](Invocation& i, auto& v) { i.paged.mutable_link_header()->set_rel(v); })},
          {0, "next-url", "POINTER", kPaged, "next page by a URL in the page",
           text(Paged::kNextUrl, [](Invocation& i, auto& v) { i.paged.mutable_next_url()->set_pointer(v); })},
          {0, "cursor", "POINTER", kPaged, "next page by a cursor in the page", CursorFrom(false)},
          {0, "cursor-header", "NAME", kPaged, "next page by a cursor in a response header", CursorFrom(true)},
          {0, "cursor-param", "NAME", kPaged, "query parameter that takes the cursor",
           text(Paged::kCursor, [](Invocation& i, auto& v) { i.paged.mutable_cursor()->set_param(v); })},
          {0, "drop-other-params", "", kPaged, "send no other query parameter along with a cursor",
           text(Paged::kCursor, [](Invocation& i, auto&) { i.paged.mutable_cursor()->set_drop_other_params(true); })},
          {0, "offset-param", "NAME", kPaged, "next page by an offset in this query parameter (needs --items)",
           text(Paged::kOffset, [](Invocation& i, auto& v) { i.paged.mutable_offset()->set_param(v); })},
          {0, "offset-start", "N", kPaged, "offset of the first page",
           count(Paged::kOffset, [](Invocation& i, uint64_t n) { i.paged.mutable_offset()->set_start(n); })},
          {0, "limit", "N", kPaged, "items per page, by which the offset advances",
           count(Paged::kOffset, [](Invocation& i, uint64_t n) { i.paged.mutable_offset()->set_limit(n); })},
          {0, "limit-param", "NAME", kPaged, "query parameter that takes --limit",
           text(Paged::kOffset, [](Invocation& i, auto& v) { i.paged.mutable_offset()->set_limit_param(v); })},
          {0, "page-param", "NAME", kPaged, "next page by a number in this query parameter (needs --items)",
           text(Paged::kPageNumber, [](Invocation& i, auto& v) { i.paged.mutable_page_number()->set_param(v); })},
          {0, "page-start", "N", kPaged, "number of the first page (default: 1)",
           count(Paged::kPageNumber, [](Invocation& i, uint64_t n) { i.paged.mutable_page_number()->set_start(n); })},
          {0, "page-size", "N", kPaged, "a page with fewer items is the last one",
           count(Paged::kPageNumber,
                 [](Invocation& i, uint64_t n) { i.paged.mutable_page_number()->set_page_size(n); })},
          {0, "max-pages", "N", kPaged, "stop after so many pages",
           Count([](Invocation& i, uint64_t n) { i.paged.set_max_pages(n); })},
          {0, "max-items", "N", kPaged, "stop after so many items (needs --items)",
           Count([](Invocation& i, uint64_t n) { i.paged.set_max_items(n); })},
          {0, "allow-other-origins", "", kPaged, "follow the list to other hosts",
           Do([](Invocation& i, const std::string&) { i.paged.set_allow_other_origins(true); })},
          {0, "resume", "TOKEN", kPaged, "continue where an earlier command stopped; it printed the token",
           [](Invocation& i, const std::string& value) {
             // As fetchctl prints it, or in plain base64 as --json does.
             const std::string web_safe = absl::StrReplaceAll(value, {{"+", "-"}, {"/", "_"}});
             std::string token;
             if (value.empty() || !absl::WebSafeBase64Unescape(web_safe, &token)) {
               return absl::InvalidArgumentError("is not a token that fetchctl printed");
             }
             i.paged.set_resume_token(token);
             return absl::OkStatus();
           }},
      });
}

void AddOutputFlags(std::vector<Flag>& flags) {
  flags.insert(
      flags.end(),
      {
          {'o', "output", "FILE", kGet | kStream | kPaged, "write to this file instead of standard output",
           Text(&Invocation::output)},
          {'i', "include", "", kGet | kStream | kPaged, "show status and headers before the body",
           Switch(&Invocation::include)},
          {'f', "fail", "", kFetching, "exit with 22 on HTTP status 400 and above (get, stream: without the body)",
           Switch(&Invocation::fail)},
          {0, "limit-rate", "RATE", kStream, "read no more than so many bytes per second (k, M, G)",
           Size([](Invocation& i, uint64_t n) { i.limit_rate = n; })},
          {0, "json", "", kAll, "one JSON object per line on standard output, for machines", Switch(&Invocation::json)},
          {'s', "silent", "", kAll, "no progress, no notes, no error messages", Switch(&Invocation::silent)},
          {'S', "show-error", "", kAll, "with -s: error messages all the same", Switch(&Invocation::show_error)},
          {'v', "verbose", "", kFetching, "show requests, responses and fetch ids on standard error",
           Switch(&Invocation::verbose)},
          {0, "explain", "", kFetching, "show every attempt and decision on standard error (with --json: in `trace`)",
           Do([](Invocation& i, const std::string&) {
             i.explain = true;
             i.request.set_explain(v1::EXPLAIN_FULL);
           })},
          {'h', "help", "", kAll, "show this help", Switch(&Invocation::help)},
      });
}

}  // namespace

void SetDuration(absl::Duration from, google::protobuf::Duration& to) {
  to.set_seconds(absl::ToInt64Seconds(from));
  to.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(from - absl::Seconds(to.seconds()))));
}

const std::vector<Flag>& Flags() {
  static const std::vector<Flag>& flags = *[] {
    auto* made = new std::vector<Flag>;
    AddRequestFlags(*made);
    AddBatchFlags(*made);
    AddPagedFlags(*made);
    AddOriginFlags(*made);
    AddOutputFlags(*made);
    AddConnectionFlags(*made);
    return made;
  }();
  return flags;
}

const std::vector<CommandInfo>& Commands() {
  static const auto& commands = *new std::vector<CommandInfo>{
      {kGet, "get", "URL", "fetch one URL and print the body"},
      {kBatch, "batch", "FILE", "fetch many: one URL (or FetchRequest as JSON) per line of FILE, or of -"},
      {kStream, "stream", "URL", "fetch a body of any size, or send one with -T"},
      {kPaged, "paged", "URL", "follow the pages of a list; print pages or items"},
      {kOrigins, "origins", "", "show how the origins are doing that fetchd knows"},
      {kCheck, "check", "URL", "say what would become of a fetch of this URL, without making it"},
      {kAdmin, "admin", "ACTION ORIGIN", "reset, open or close the breaker of an origin (for operators)"},
      {kHealth, "health", "", "ask whether fetchd is serving"},
  };
  return commands;
}

}  // namespace fetchd::fetchctl
