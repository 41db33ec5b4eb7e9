// From the model to fetchd.v1 replies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fetch/collecting_call.h"
#include "fetch/paged_messages.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "model/failure.h"
#include "model/outcome.h"

namespace fetchd::server {

// Each fills in an empty message. The failures kCancelled and kInternal have no place in a reply: callers end the RPC
// with a status instead.
void WriteHeaders(const Headers& headers, google::protobuf::RepeatedPtrField<v1::Header>& into);
// `chain` may be null: none.
void WriteRedirects(const RedirectChain* chain, google::protobuf::RepeatedPtrField<v1::Redirect>& into);
// A fetch that has a failure; responses are written by FetchReply.
void WriteFailedFetch(std::string_view fetch_id, Collected&& collected, v1::FetchResponse& into);
// An item of a batch that was not fetched because another one failed.
void WriteSkipped(size_t index, v1::BatchResult& into);
void WriteHead(const ResponseHead& head, v1::ResponseHead& into);
// `url` is redacted.
void WriteTail(Outcome&& outcome, std::string fetch_id, std::string url, uint64_t body_bytes, v1::StreamTail& into);
void WritePagedMessage(PagedMessage&& message, v1::FetchPagedResponse& into);
void WritePagedEnd(PagedEnd&& end, v1::FetchPagedResponse& into);

}  // namespace fetchd::server
