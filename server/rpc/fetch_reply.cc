#include "rpc/fetch_reply.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <array>
#include <cstring>
#include <utility>

#include "model/redirect.h"
#include "rpc/response_writer.h"
#include "rpc/trace_writer.h"

namespace fetchd::server {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// A body of this size is handed to gRPC as it is; copying a smaller one is cheaper than a slice of its own.
constexpr size_t kOwnSlice = 16 * 1024;
// More than the keys, sizes and the index before a FetchResponse in a batch can take.
constexpr size_t kMaxItemPrefix = 32;

// Sizes are of fields with their keys. All field numbers here are below 16, so that a key is one byte.
size_t VarintSize(size_t value) { return CodedOutputStream::VarintSize32(static_cast<uint32_t>(value)); }
size_t NumberSize(size_t value) { return value == 0 ? 0 : 1 + VarintSize(value); }
size_t DelimitedSize(size_t size) { return 1 + VarintSize(size) + size; }
size_t TextSize(std::string_view text) { return text.empty() ? 0 : DelimitedSize(text.size()); }

size_t HeaderSize(const HeaderView& header) { return TextSize(header.name) + TextSize(header.value); }

size_t HeadersSize(const Headers& headers) {
  size_t size = 0;
  for (const HeaderView header : headers) size += DelimitedSize(HeaderSize(header));
  return size;
}

size_t CodingsSize(const CodingList& codings) {
  size_t size = 0;
  for (const ContentCoding coding : codings) size += TextSize(ToString(coding));
  return size;
}

size_t RedirectSize(const Redirect& redirect) {
  return NumberSize(static_cast<size_t>(redirect.status)) + TextSize(redirect.url.text());
}

size_t RedirectsSize(const RedirectChain* chain) {
  size_t size = 0;
  if (chain == nullptr) return size;
  for (const Redirect& redirect : chain->redirects) size += DelimitedSize(RedirectSize(redirect));
  return size;
}

uint8_t* WriteNumber(int field, size_t value, uint8_t* to) {
  if (value == 0) return to;
  return WireFormatLite::WriteUInt32ToArray(field, static_cast<uint32_t>(value), to);
}

uint8_t* WriteDelimiter(int field, size_t size, uint8_t* to) {
  to = WireFormatLite::WriteTagToArray(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED, to);
  return CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), to);
}

uint8_t* WriteText(int field, std::string_view text, uint8_t* to) {
  if (text.empty()) return to;
  to = WriteDelimiter(field, text.size(), to);
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

uint8_t* WriteHeaders(int field, const Headers& headers, uint8_t* to) {
  for (const HeaderView header : headers) {
    to = WriteDelimiter(field, HeaderSize(header), to);
    to = WriteText(v1::Header::kNameFieldNumber, header.name, to);
    to = WriteText(v1::Header::kValueFieldNumber, header.value, to);
  }
  return to;
}

uint8_t* WriteRedirects(int field, const RedirectChain* chain, uint8_t* to) {
  if (chain == nullptr) return to;
  for (const Redirect& redirect : chain->redirects) {
    to = WriteDelimiter(field, RedirectSize(redirect), to);
    to = WriteNumber(v1::Redirect::kStatusFieldNumber, static_cast<size_t>(redirect.status), to);
    to = WriteText(v1::Redirect::kUrlFieldNumber, redirect.url.text(), to);
  }
  return to;
}

}  // namespace

FetchReply::FetchReply(std::string_view fetch_id, Collected& collected) : fetch_id_(fetch_id), collected_(collected) {
  const Outcome& outcome = collected.outcome;
  if (outcome.failure) {
    WriteFailedFetch(fetch_id, std::move(collected), failed_.emplace());
    size_ = failed_->ByteSizeLong();
    return;
  }
  const ResponseHead& head = *collected.head;
  response_size_ = NumberSize(static_cast<size_t>(head.status)) + HeadersSize(head.headers) + TextSize(collected.body) +
                   NumberSize(outcome.truncated) + HeadersSize(outcome.trailers) + RedirectsSize(head.redirects.get()) +
                   CodingsSize(head.decoded);
  size_ = TextSize(fetch_id) + NumberSize(static_cast<size_t>(outcome.attempts)) + DelimitedSize(response_size_);
  if (outcome.trace) {
    trace_ = std::make_unique<v1::Trace>();
    WriteTrace(*outcome.trace, *trace_);
    size_ += DelimitedSize(trace_->ByteSizeLong());
  }
}

void FetchReply::Write(MessageWriter& into, std::string_view prefix) {
  std::string& body = collected_.body;
  const bool own_slice = !failed_ && body.size() >= kOwnSlice;
  uint8_t* to = into.Append(prefix.size() + size_ - (own_slice ? body.size() : 0));
  // memcpy may not be given the null of an empty view.
  if (!prefix.empty()) std::memcpy(to, prefix.data(), prefix.size());
  to += prefix.size();
  if (failed_) {
    failed_->SerializeWithCachedSizesToArray(to);
    return;
  }
  to = WriteUpToBody(to);
  if (own_slice) {
    into.Append(std::move(body));
  } else {
    std::memcpy(to, body.data(), body.size());
  }
}

// The order of fields is free; with the body last, nothing has to follow its slice.
uint8_t* FetchReply::WriteUpToBody(uint8_t* to) const {
  const ResponseHead& head = *collected_.head;
  const Outcome& outcome = collected_.outcome;
  to = WriteText(v1::FetchResponse::kFetchIdFieldNumber, fetch_id_, to);
  to = WriteNumber(v1::FetchResponse::kAttemptsFieldNumber, static_cast<size_t>(outcome.attempts), to);
  if (trace_) {
    to = WriteDelimiter(v1::FetchResponse::kTraceFieldNumber, static_cast<size_t>(trace_->GetCachedSize()), to);
    to = trace_->SerializeWithCachedSizesToArray(to);
  }
  to = WriteDelimiter(v1::FetchResponse::kResponseFieldNumber, response_size_, to);
  to = WriteNumber(v1::HttpResponse::kStatusFieldNumber, static_cast<size_t>(head.status), to);
  to = WriteHeaders(v1::HttpResponse::kHeadersFieldNumber, head.headers, to);
  to = WriteNumber(v1::HttpResponse::kTruncatedFieldNumber, outcome.truncated, to);
  to = WriteHeaders(v1::HttpResponse::kTrailersFieldNumber, outcome.trailers, to);
  to = WriteRedirects(v1::HttpResponse::kRedirectsFieldNumber, head.redirects.get(), to);
  for (const ContentCoding coding : head.decoded)
    to = WriteText(v1::HttpResponse::kDecodedFieldNumber, ToString(coding), to);
  if (collected_.body.empty()) return to;
  return WriteDelimiter(v1::HttpResponse::kBodyFieldNumber, collected_.body.size(), to);
}

BatchItemReply::BatchItemReply(size_t index, std::string_view fetch_id, Collected* fetched) : index_(index) {
  if (fetched == nullptr) {
    WriteSkipped(index, *skipped_.emplace().add_results());
    size_ = skipped_->ByteSizeLong();
    return;
  }
  fetch_.emplace(fetch_id, *fetched);
  element_size_ = NumberSize(index) + DelimitedSize(fetch_->size());
  size_ = DelimitedSize(element_size_);
}

void BatchItemReply::Write(MessageWriter& into) {
  if (skipped_) {
    skipped_->SerializeWithCachedSizesToArray(into.Append(size_));
    return;
  }
  std::array<uint8_t, kMaxItemPrefix> prefix;
  uint8_t* to = WriteDelimiter(v1::FetchBatchResponse::kResultsFieldNumber, element_size_, prefix.data());
  to = WriteNumber(v1::BatchResult::kIndexFieldNumber, index_, to);
  to = WriteDelimiter(v1::BatchResult::kFetchFieldNumber, fetch_->size(), to);
  fetch_->Write(into, {reinterpret_cast<const char*>(prefix.data()), static_cast<size_t>(to - prefix.data())});
}

}  // namespace fetchd::server
