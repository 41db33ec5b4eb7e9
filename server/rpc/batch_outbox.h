// Results of a batch on their way to the caller.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "fetch/collecting_call.h"
#include "rpc/fetch_reply.h"
#include "rpc/raw_message.h"

namespace fetchd::server {

// Holds results from when they are there until the caller has room for them, in the wire format: each is written into
// the message it will travel in, so that nothing else of it is kept. Owned by the call; home thread.
class BatchOutbox {
 public:
  // Results are put together up to this size; one result alone may be larger.
  static constexpr size_t kMaxMessageBytes = 3'500 * 1024;

  // In input order a result waits for those of lower indexes.
  explicit BatchOutbox(bool input_order, size_t max_message_bytes = kMaxMessageBytes)
      : input_order_(input_order), max_message_bytes_(max_message_bytes) {}

  // The result of item `index`, which is taken apart, or null if it was skipped. Once for each index.
  void Add(size_t index, std::string_view fetch_id, Collected* fetched);
  // Bytes that wait, those of results whose turn has not come included.
  size_t bytes() const { return bytes_; }
  // The next message, a v1.FetchBatchResponse with at least one result, if there is one to send.
  std::optional<grpc::ByteBuffer> Take();

 private:
  // Where a result of `size` bytes is to be written.
  MessageWriter& Open(size_t size);

  const bool input_order_;
  const size_t max_message_bytes_;
  // Messages that are full, then the one that takes further results.
  std::vector<MessageWriter> full_;
  MessageWriter open_;
  size_t bytes_ = 0;
  // In input order: the index whose turn it is, and results of later ones.
  size_t next_ = 0;
  absl::flat_hash_map<size_t, MessageWriter> early_;
};

}  // namespace fetchd::server
