// From fetchd.v1 requests to the model: every rule that the proto comments state is checked here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "fetch/batch.h"
#include "fetch/fetch_starter.h"
#include "fetch/paged_messages.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "model/request.h"
#include "policy/policy_book.h"
#include "rpc/fetch_ids.h"
#include "rpc/status_table.h"

namespace fetchd::server {

class ResumeTokens;

struct ReaderOptions {
  // Timeouts, retries, hedging and priority for what a request leaves unset, by origin and profile, and the caps of
  // timeouts. Outlives the reader. Null: the defaults as shipped. `total` and `attempt` do not count for FetchStream,
  // which has none by itself.
  const PolicySource* policies = nullptr;
  // Default and cap of a body in a reply of Fetch, FetchBatch and FetchPaged. 3.5 MiB leaves room for headers below the
  // 4 MiB that gRPC clients receive by default.
  uint64_t max_unary_body_bytes = 3'584 * 1024;
  // Of a response body that is read as JSON (`expect.json`, `select`), which is held in memory whole.
  uint64_t max_selected_body_bytes = 32 * 1024 * 1024;
  // Items of a batch.
  size_t max_batch_items = 10'000;
  // Items of a batch in flight at once, if the caller says nothing; at most kMaxBatchConcurrency.
  size_t batch_concurrency = 100;
  // Pages of FetchPaged: default and cap.
  uint64_t max_pages = 10'000;
};
inline constexpr size_t kMaxBatchConcurrency = 1'000;

// What is known of the RPC besides its message.
struct RpcFacts {
  std::string caller = "-";
  Instant now;
  WallTime wall_now;
  // When the answer must be on its way, because the caller stops waiting soon after; kNever: it does not.
  Instant answer_by = kNever;
};

// min(50 ms, 5 % of what is left) before the RPC's deadline.
Instant AnswerBy(Instant now, Instant rpc_deadline);

// A validated FetchStreamStart.
struct StreamSpec {
  FetchSpec fetch;
  // As `chunk`s, or as `part`s.
  bool streams_body = false;
  std::optional<uint64_t> body_length;
  // Of the parts; empty: the body has none.
  std::string boundary;
};

// Validates and converts. Reads collect all violations of a request, each with its path. Requests are taken apart
// (bodies are moved out). Immutable; thread-safe. The references outlive it.
class RequestReader {
 public:
  RequestReader(ReaderOptions options, const FetchStarter& starter, FetchIds& ids);

  std::variant<FetchSpec, Refusal> ReadFetch(v1::FetchRequest&& request, const RpcFacts& facts) const;
  // The batch but for its items.
  std::variant<BatchSpec, Refusal> ReadBatch(const v1::FetchBatchRequest& request, const RpcFacts& facts) const;
  // One item; a refusal becomes the item's result.
  std::variant<FetchSpec, ItemFailure> ReadBatchItem(v1::FetchRequest&& request, size_t index,
                                                     const RpcFacts& facts) const;
  std::variant<StreamSpec, Refusal> ReadStreamStart(v1::FetchStreamStart&& start, const RpcFacts& facts) const;
  std::variant<PagedSpec, Refusal> ReadPaged(v1::FetchPagedRequest&& request, const ResumeTokens& tokens,
                                             const RpcFacts& facts) const;

  // The beginning of a part of a streamed multipart body, as it is sent.
  static std::variant<std::string, Refusal> ReadPart(const v1::MultipartPart& part, std::string_view boundary,
                                                     bool first);

  const ReaderOptions& options() const { return options_; }

 private:
  enum class Shape { kWholeBody, kStreamed };
  class Violations;

  FetchSpec ReadSpec(v1::FetchRequest&& request, Shape shape, const RpcFacts& facts, std::string_view prefix,
                     Violations& violations) const;
  // These change what a policy set to what the request says.
  static void ReadTimeouts(const v1::Timeouts& timeouts, const Timeouts& caps, std::string_view prefix,
                           Violations& violations, Timeouts& result);
  static void ReadRetry(const v1::RetryPolicy& retry, std::string_view prefix, Violations& violations,
                        RetryOptions& result);
  void ReadPolicies(const v1::FetchRequest& request, Shape shape, std::string_view prefix, Violations& violations,
                    FetchSpec& spec) const;
  void ReadTransport(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                     FetchSpec& spec) const;
  // The proxy, by `policy` and by what the request says; spec.url is set.
  void ReadRoute(const v1::FetchRequest& request, const PolicyBook& book, const CallPolicy& policy,
                 std::string_view prefix, Violations& violations, FetchSpec& spec) const;
  // What becomes of the response's codings; needs the headers.
  static void ReadDecoding(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                           FetchSpec& spec);
  // `expect` and `select`; needs the body limit, which that of a selection takes the place of.
  void ReadContract(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                    FetchSpec& spec) const;
  BodyLimit ReadBodyLimit(const v1::FetchRequest& request, Shape shape, std::string_view prefix,
                          Violations& violations) const;
  // Sets the body, and its content-type unless the caller has. All of it is in body_reader.cc.
  static void ReadBody(v1::FetchRequest& request, std::string_view prefix, Violations& violations, FetchSpec& spec);
  static void ReadMultipart(const v1::MultipartBody& body, std::string_view prefix, Violations& violations,
                            FetchSpec& spec);
  static void AddMultipartType(std::string_view boundary, std::string_view prefix, Violations& violations,
                               FetchSpec& spec);
  static void CheckPart(const v1::MultipartPart& part, std::string_view prefix, Violations& violations);
  static void ReadHops(const v1::FetchRequest& request, std::string_view prefix, Violations& violations,
                       FetchSpec& spec);
  PagingRules ReadPagingRules(const v1::FetchPagedRequest& request, Violations& violations) const;

  const ReaderOptions options_;
  const PolicySource& policies_;
  const FetchStarter& starter_;
  FetchIds& ids_;
};

}  // namespace fetchd::server
