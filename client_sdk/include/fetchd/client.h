#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fetchd/body_stream.h"
#include "fetchd/connection.h"
#include "fetchd/options.h"
#include "fetchd/paged_range.h"
#include "fetchd/stream_range.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "fetchd/v1/origin_service.pb.h"

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

  // A dry run: what would become of a fetch of this URL now?
  absl::StatusOr<v1::CheckUrlResponse> CheckUrl(const v1::CheckUrlRequest& request,
                                                const CallOptions& options = {}) const;
  // How the origins are doing that fetchd knows, by name; only those whose host has `host_contains` in it. `options`
  // hold for each page of them.
  StreamRange<v1::Origin> Origins(std::string host_contains = "", const CallOptions& options = {}) const;
  // One of them, such as "https://api.example.com". NOT_FOUND if fetchd does not know it.
  absl::StatusOr<v1::Origin> GetOrigin(std::string_view name, const CallOptions& options = {}) const;
  // All of them, then each one again when it changes.
  StreamRange<v1::WatchOriginsResponse> WatchOrigins(const v1::WatchOriginsRequest& request,
                                                     const CallOptions& options = {}) const;

  // For operators, on a connection to fetchd's `admin.listen`; each gives the origin afterwards. See AdminService.
  absl::StatusOr<v1::Origin> ResetOrigin(std::string_view name, const CallOptions& options = {}) const;
  absl::StatusOr<v1::Origin> ForceOpen(const v1::ForceOpenRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::Origin> ForceClose(std::string_view name, const CallOptions& options = {}) const;

  // See Connection::CheckHealth.
  absl::Status CheckHealth(const CallOptions& options = {}) const;

 private:
  std::shared_ptr<Connection> connection_;
};

}  // namespace fetchd
