// Results in the wire format, straight from the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "fetch/collecting_call.h"
#include "fetchd/v1/fetch_service.pb.h"
#include "rpc/raw_message.h"

namespace fetchd::server {

// A v1.FetchResponse: measured when made, then written once. A response, the common case, goes from the model to the
// wire without a protobuf object; a failure has one. The failures kCancelled and kInternal have no place in a reply.
class FetchReply {
 public:
  // Takes `collected` apart. Both it and what `fetch_id` views must live until Write.
  FetchReply(std::string_view fetch_id, Collected& collected);

  size_t size() const { return size_; }
  // Appends `prefix`, then the message.
  void Write(MessageWriter& into, std::string_view prefix = {});

 private:
  uint8_t* WriteUpToBody(uint8_t* to) const;

  const std::string_view fetch_id_;
  Collected& collected_;
  // Set for a failure.
  std::optional<v1::FetchResponse> failed_;
  // With a response, if the caller asked.
  std::unique_ptr<v1::Trace> trace_;
  size_t size_ = 0;
  // Of the field `response` within it.
  size_t response_size_ = 0;
};

// An element of v1.FetchBatchResponse.results with its key: such elements, one after the other, make the message.
class BatchItemReply {
 public:
  // As for FetchReply; without `fetched`, the item was skipped.
  BatchItemReply(size_t index, std::string_view fetch_id, Collected* fetched);

  size_t size() const { return size_; }
  void Write(MessageWriter& into);

 private:
  const size_t index_;
  std::optional<FetchReply> fetch_;
  std::optional<v1::FetchBatchResponse> skipped_;
  // With fetch_: all that is in the element.
  size_t element_size_ = 0;
  size_t size_ = 0;
};

}  // namespace fetchd::server
