#include "rpc/response_writer.h"

#include <optional>
#include <utility>

#include "model/redirect.h"
#include "rpc/trace_writer.h"

namespace fetchd::server {
namespace {

void WriteFailure(Failure&& failure, bool retryable, std::string&& url, const std::optional<WallTime>& retry_at,
                  const RedirectChain* redirects, v1::FetchError& into) {
  // The numbers of the model's enums are those of the proto.
  into.set_code(static_cast<v1::ErrorCode>(failure.code));
  into.set_phase(static_cast<v1::Phase>(failure.phase));
  into.set_processed(static_cast<v1::Processed>(failure.processed));
  into.set_retryable(retryable);
  into.set_message(std::move(failure.detail));
  // One that is too large to be decoded or read as JSON here is so for FetchStream too, or says it by itself.
  if (failure.code == FailureCode::kHttpResponseBodySize && failure.phase != Phase::kDecode)
    *into.mutable_message() += "; FetchStream takes bodies of any size";
  into.set_url(std::move(url));
  if (retry_at) WriteTime(*retry_at, *into.mutable_retry_at());
  WriteRedirects(redirects, *into.mutable_redirects());
}

void WriteResponse(const ResponseHead& head, std::string&& body, bool truncated, const Headers& trailers,
                   v1::HttpResponse& into) {
  into.set_status(static_cast<uint32_t>(head.status));
  WriteHeaders(head.headers, *into.mutable_headers());
  into.set_body(std::move(body));
  into.set_truncated(truncated);
  WriteHeaders(trailers, *into.mutable_trailers());
  for (const ContentCoding coding : head.decoded) into.add_decoded(std::string(ToString(coding)));
}

// A body that was too large, could not be decoded or is not what was expected is not reported in part: the caller asked
// for all of it, as it should be, or none.
bool HasNoPart(FailureCode code) {
  return code == FailureCode::kHttpResponseBodySize ||
         (code >= FailureCode::kHttpResponseContentCoding && code <= FailureCode::kSelectedValueMissing);
}

void WritePartial(Failure&& failure, bool retryable, std::string&& url, const std::optional<WallTime>& retry_at,
                  const RedirectChain* redirects, const std::optional<ResponseHead>& head, std::string&& body,
                  bool truncated, const Headers& trailers, v1::FetchError& into) {
  if (HasNoPart(failure.code)) body.clear();
  WriteFailure(std::move(failure), retryable, std::move(url), retry_at, redirects, into);
  if (head) WriteResponse(*head, std::move(body), truncated, trailers, *into.mutable_partial_response());
}

}  // namespace

void WriteHeaders(const Headers& headers, google::protobuf::RepeatedPtrField<v1::Header>& into) {
  into.Reserve(static_cast<int>(headers.size()));
  for (const HeaderView header : headers) {
    v1::Header* out = into.Add();
    out->set_name(header.name.data(), header.name.size());
    out->set_value(header.value.data(), header.value.size());
  }
}

void WriteRedirects(const RedirectChain* chain, google::protobuf::RepeatedPtrField<v1::Redirect>& into) {
  if (chain == nullptr) return;
  into.Reserve(static_cast<int>(chain->redirects.size()));
  for (const Redirect& redirect : chain->redirects) {
    v1::Redirect* out = into.Add();
    out->set_status(static_cast<uint32_t>(redirect.status));
    out->set_url(redirect.url.text());
  }
}

void WriteFailedFetch(std::string_view fetch_id, Collected&& collected, v1::FetchResponse& into) {
  Outcome& outcome = collected.outcome;
  into.set_fetch_id(fetch_id.data(), fetch_id.size());
  into.set_attempts(static_cast<uint32_t>(outcome.attempts));
  if (outcome.trace) WriteTrace(*outcome.trace, *into.mutable_trace());
  const bool retryable = IsTransient(outcome.failure->code);
  WritePartial(*std::move(outcome.failure), retryable, std::move(collected.redacted_url), outcome.retry_at,
               outcome.redirects.get(), collected.head, std::move(collected.body), outcome.truncated, outcome.trailers,
               *into.mutable_error());
}

void WriteSkipped(size_t index, v1::BatchResult& into) {
  into.set_index(static_cast<uint32_t>(index));
  into.mutable_skipped()->set_reason("another item of the batch failed first");
}

void WriteHead(const ResponseHead& head, v1::ResponseHead& into) {
  into.set_status(static_cast<uint32_t>(head.status));
  WriteHeaders(head.headers, *into.mutable_headers());
  WriteRedirects(head.redirects.get(), *into.mutable_redirects());
  for (const ContentCoding coding : head.decoded) into.add_decoded(std::string(ToString(coding)));
}

void WriteTail(Outcome&& outcome, std::string fetch_id, std::string url, uint64_t body_bytes, v1::StreamTail& into) {
  into.set_fetch_id(std::move(fetch_id));
  into.set_body_bytes(body_bytes);
  into.set_truncated(outcome.truncated);
  into.set_attempts(static_cast<uint32_t>(outcome.attempts));
  WriteHeaders(outcome.trailers, *into.mutable_trailers());
  if (outcome.trace) WriteTrace(*outcome.trace, *into.mutable_trace());
  if (!outcome.failure) return;
  const bool retryable = IsTransient(outcome.failure->code);
  WriteFailure(*std::move(outcome.failure), retryable, std::move(url), outcome.retry_at, outcome.redirects.get(),
               *into.mutable_error());
}

void WritePagedMessage(PagedMessage&& message, v1::FetchPagedResponse& into) {
  into.set_resume_token(std::move(message.resume_token));
  if (message.trace) WriteTrace(*message.trace, *into.mutable_trace());
  if (auto* page = std::get_if<PagedPage>(&message.content)) {
    v1::Page* out = into.mutable_page();
    WriteResponse(page->head, std::move(page->body), page->truncated, page->trailers, *out->mutable_response());
    WriteRedirects(page->head.redirects.get(), *out->mutable_response()->mutable_redirects());
    out->set_number(page->number);
    out->set_item_count(page->item_count);
    return;
  }
  const auto& items = std::get<PagedItems>(message.content);
  v1::Items* out = into.mutable_items();
  out->set_page(items.page);
  out->mutable_items()->Reserve(static_cast<int>(items.items.size()));
  for (const std::string_view item : items.items) out->add_items(item.data(), item.size());
}

void WritePagedEnd(PagedEnd&& end, v1::FetchPagedResponse& into) {
  into.set_resume_token(std::move(end.resume_token));
  if (end.trace) WriteTrace(*end.trace, *into.mutable_trace());
  v1::PagedEnd* out = into.mutable_end();
  out->set_reason(static_cast<v1::PagedEnd::Reason>(end.reason));
  out->set_pages(end.pages);
  out->set_items(end.items);
  if (!end.error) return;
  PagedError& error = *end.error;
  WritePartial(std::move(error.failure), error.retryable, std::move(error.url), error.retry_at, error.redirects.get(),
               error.head, std::move(error.body), error.truncated, error.trailers, *out->mutable_error());
}

}  // namespace fetchd::server
