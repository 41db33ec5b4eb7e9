// From the model to fetchd.v1 replies.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fetch/batch.h"
#include "fetch/collecting_call.h"
#include "fetch/paged_messages.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "model/failure.h"
#include "model/outcome.h"

namespace fetchd::server {

// Each fills in an empty message. The failures kCancelled and kInternal have no place in a reply: callers end the RPC
// with a status instead.
void WriteHeaders(const Headers& headers, google::protobuf::RepeatedPtrField<v1::Header>& into);
void WriteFetchResponse(Collected&& collected, v1::FetchResponse& into);
void WriteBatchResponse(std::vector<BatchItemResult>&& results, v1::FetchBatchResponse& into);
void WriteHead(const ResponseHead& head, v1::ResponseHead& into);
// `url` is redacted.
void WriteTail(Outcome&& outcome, std::string fetch_id, std::string url, uint64_t body_bytes, v1::StreamTail& into);
void WritePagedMessage(PagedMessage&& message, v1::FetchPagedResponse& into);
void WritePagedEnd(PagedEnd&& end, v1::FetchPagedResponse& into);

}  // namespace fetchd::server
