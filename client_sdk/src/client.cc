#include "fetchd/client.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace fetchd {
namespace {

// Takes a FetchPaged call apart into values of type T and keeps count of how far it came.
template <typename T>
class PagedReader {
 public:
  PagedReader(StreamRange<v1::FetchPagedResponse> messages, std::shared_ptr<PagedProgress> progress)
      : messages_(std::move(messages)), progress_(std::move(progress)) {}

  std::optional<absl::StatusOr<T>> Next() {
    while (!HasValue()) {
      std::optional<absl::StatusOr<v1::FetchPagedResponse>> message = messages_.Next();
      if (!message.has_value()) {
        if (progress_->end.has_value()) return std::nullopt;
        return absl::InternalError("fetchd ended the list without saying why");
      }
      if (!message->ok()) return message->status();
      message_ = *std::move(*message);
      next_item_ = 0;
      if (message_.has_trace()) {
        progress_->trace = std::move(*message_.mutable_trace());
        ++progress_->traces;
      }
      if (message_.has_end()) {
        progress_->end = std::move(*message_.mutable_end());
        message_.clear_end();
      }
      if (!HasValue()) PassToken();
    }
    return Take();
  }

 private:
  bool HasValue() const;
  T Take();

  // Everything in the message has been taken.
  void PassToken() {
    progress_->resume_token = std::move(*message_.mutable_resume_token());
    progress_->taken_since_token = 0;
  }

  StreamRange<v1::FetchPagedResponse> messages_;
  std::shared_ptr<PagedProgress> progress_;
  v1::FetchPagedResponse message_;
  int next_item_ = 0;
};

template <>
bool PagedReader<v1::Page>::HasValue() const {
  return message_.has_page();
}

template <>
v1::Page PagedReader<v1::Page>::Take() {
  v1::Page page = std::move(*message_.mutable_page());
  message_.clear_page();
  PassToken();
  return page;
}

template <>
bool PagedReader<std::string>::HasValue() const {
  return next_item_ < message_.items().items_size();
}

template <>
std::string PagedReader<std::string>::Take() {
  std::string item = std::move(*message_.mutable_items()->mutable_items(next_item_++));
  ++progress_->taken_since_token;
  if (!HasValue()) PassToken();
  return item;
}

// The origin in a response that has nothing else.
template <typename Response>
absl::StatusOr<v1::Origin> OriginOf(absl::StatusOr<Response> response) {
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_origin());
}

template <typename T>
PagedRange<T> MakePagedRange(StreamRange<v1::FetchPagedResponse> messages, std::string resume_token) {
  auto progress = std::make_shared<PagedProgress>();
  // Until the first message has come, the place to continue from is the place to begin from.
  progress->resume_token = std::move(resume_token);
  return PagedRange<T>([reader = PagedReader<T>(std::move(messages), progress)]() mutable { return reader.Next(); },
                       progress);
}

}  // namespace

Client::Client(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

absl::StatusOr<v1::FetchResponse> Client::Fetch(const v1::FetchRequest& request, const CallOptions& options) const {
  return connection_->Fetch(request, options);
}

absl::StatusOr<v1::FetchResponse> Client::Get(std::string_view url, const CallOptions& options) const {
  v1::FetchRequest request;
  request.set_url(url.data(), url.size());
  return Fetch(request, options);
}

absl::StatusOr<v1::FetchResponse> Client::Post(std::string_view url, std::string_view body,
                                               std::string_view content_type, const CallOptions& options) const {
  v1::FetchRequest request;
  request.set_url(url.data(), url.size());
  request.set_method("POST");
  request.set_body(body.data(), body.size());
  v1::Header& header = *request.add_headers();
  header.set_name("content-type");
  header.set_value(content_type.data(), content_type.size());
  return Fetch(request, options);
}

StreamRange<v1::BatchResult> Client::Batch(const v1::FetchBatchRequest& request, const CallOptions& options) const {
  return StreamRange<v1::BatchResult>([messages = connection_->FetchBatch(request, options),
                                       message = v1::FetchBatchResponse(),
                                       next = 0]() mutable -> std::optional<absl::StatusOr<v1::BatchResult>> {
    while (next >= message.results_size()) {
      std::optional<absl::StatusOr<v1::FetchBatchResponse>> read = messages.Next();
      if (!read.has_value()) return std::nullopt;
      if (!read->ok()) return read->status();
      message = *std::move(*read);
      next = 0;
    }
    return std::move(*message.mutable_results(next++));
  });
}

PageRange Client::Pages(v1::FetchPagedRequest request, const CallOptions& options) const {
  request.set_unit(v1::FetchPagedRequest::UNIT_PAGE);
  return MakePagedRange<v1::Page>(connection_->FetchPaged(request, options), request.resume_token());
}

ItemRange Client::Items(v1::FetchPagedRequest request, const CallOptions& options) const {
  request.set_unit(v1::FetchPagedRequest::UNIT_ITEM);
  return MakePagedRange<std::string>(connection_->FetchPaged(request, options), request.resume_token());
}

BodyReader Client::Stream(const v1::FetchRequest& request, const CallOptions& options) const {
  v1::FetchStreamStart start;
  *start.mutable_request() = request;
  std::unique_ptr<StreamCall> call = connection_->FetchStream(start, options);
  call->WritesDone();
  return BodyReader(std::move(call));
}

BodyStream Client::Upload(const v1::FetchRequest& request, std::optional<uint64_t> length,
                          const CallOptions& options) const {
  v1::FetchStreamStart start;
  *start.mutable_request() = request;
  start.set_streams_body(true);
  if (length.has_value()) start.set_body_length(*length);
  const std::shared_ptr<StreamCall> call = connection_->FetchStream(start, options);
  return {.writer = BodyWriter(call), .reader = BodyReader(call)};
}

absl::StatusOr<v1::CheckUrlResponse> Client::CheckUrl(const v1::CheckUrlRequest& request,
                                                      const CallOptions& options) const {
  return connection_->CheckUrl(request, options);
}

StreamRange<v1::Origin> Client::Origins(std::string host_contains, const CallOptions& options) const {
  v1::ListOriginsRequest first;
  first.set_host_contains(std::move(host_contains));
  return StreamRange<v1::Origin>([connection = connection_, options, request = std::move(first),
                                  page = v1::ListOriginsResponse(), next = 0,
                                  last = false]() mutable -> std::optional<absl::StatusOr<v1::Origin>> {
    while (next >= page.origins_size()) {
      if (last) return std::nullopt;
      absl::StatusOr<v1::ListOriginsResponse> read = connection->ListOrigins(request, options);
      if (!read.ok()) return read.status();
      page = *std::move(read);
      next = 0;
      request.set_page_token(page.next_page_token());
      last = page.next_page_token().empty();
    }
    return std::move(*page.mutable_origins(next++));
  });
}

absl::StatusOr<v1::Origin> Client::GetOrigin(std::string_view name, const CallOptions& options) const {
  v1::GetOriginRequest request;
  request.set_name(name.data(), name.size());
  return OriginOf(connection_->GetOrigin(request, options));
}

StreamRange<v1::WatchOriginsResponse> Client::WatchOrigins(const v1::WatchOriginsRequest& request,
                                                           const CallOptions& options) const {
  return connection_->WatchOrigins(request, options);
}

absl::StatusOr<v1::Origin> Client::ResetOrigin(std::string_view name, const CallOptions& options) const {
  v1::ResetOriginRequest request;
  request.set_name(name.data(), name.size());
  return OriginOf(connection_->ResetOrigin(request, options));
}

absl::StatusOr<v1::Origin> Client::ForceOpen(const v1::ForceOpenRequest& request, const CallOptions& options) const {
  return OriginOf(connection_->ForceOpen(request, options));
}

absl::StatusOr<v1::Origin> Client::ForceClose(std::string_view name, const CallOptions& options) const {
  v1::ForceCloseRequest request;
  request.set_name(name.data(), name.size());
  return OriginOf(connection_->ForceClose(request, options));
}

absl::Status Client::CheckHealth(const CallOptions& options) const { return connection_->CheckHealth(options); }

}  // namespace fetchd
