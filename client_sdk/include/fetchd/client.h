#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fetchd/body_stream.h"
#include "fetchd/connection.h"
#include "fetchd/options.h"
#include "fetchd/paged_range.h"
#include "fetchd/stream_range.h"
#include "fetchd/v1/fetch_service.pb.h"

namespace fetchd {

// Hands fetches to fetchd.
//
//   fetchd::Client client(fetchd::MakeConnection({.endpoint = "fetchd.internal:50051", .caller = "billing"}));
//   absl::StatusOr<fetchd::v1::FetchResponse> reply = client.Get("https://api.example.com/v1/things");
//
// A status that is not OK means that fetchd has no verdict. Whatever the origin did is in the reply: `response` with
// any HTTP status, or `error`. See fetchd/status_details.h for what a status has to say.
//
// A value: cheap to copy, all copies share the connection. Safe for use by any number of threads.
class Client {
 public:
  explicit Client(std::shared_ptr<Connection> connection);

  // One exchange, whole body (up to 3.5 MiB as shipped; Stream has no limit).
  absl::StatusOr<v1::FetchResponse> Fetch(const v1::FetchRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::FetchResponse> Get(std::string_view url, const CallOptions& options = {}) const;
  absl::StatusOr<v1::FetchResponse> Post(std::string_view url, std::string_view body, std::string_view content_type,
                                         const CallOptions& options = {}) const;

  // Many fetches; exactly one result for each index, in the order asked for.
  StreamRange<v1::BatchResult> Batch(const v1::FetchBatchRequest& request, const CallOptions& options = {}) const;

  // The pages of a list; sets `unit`.
  PageRange Pages(v1::FetchPagedRequest request, const CallOptions& options = {}) const;
  // The items of a list; sets `unit`. Needs `items`.
  ItemRange Items(v1::FetchPagedRequest request, const CallOptions& options = {}) const;

  // One exchange with a response body of any size.
  BodyReader Stream(const v1::FetchRequest& request, const CallOptions& options = {}) const;
  // One exchange with bodies of any size both ways; `request.body` must be empty. `length` in bytes is sent as
  // Content-Length; without it the body is sent in chunked coding.
  BodyStream Upload(const v1::FetchRequest& request, std::optional<uint64_t> length = std::nullopt,
                    const CallOptions& options = {}) const;

  // See Connection::CheckHealth.
  absl::Status CheckHealth(const CallOptions& options = {}) const;

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace fetchd
