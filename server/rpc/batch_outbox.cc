#include "rpc/batch_outbox.h"

#include <utility>

namespace fetchd::server {

void BatchOutbox::Add(size_t index, std::string_view fetch_id, Collected* fetched) {
  BatchItemReply reply(index, fetch_id, fetched);
  bytes_ += reply.size();
  if (!input_order_) return reply.Write(Open(reply.size()));
  if (index != next_) return reply.Write(early_[index]);
  reply.Write(Open(reply.size()));
  for (auto it = early_.find(++next_); it != early_.end(); it = early_.find(++next_)) {
    Open(it->second.size()).Append(std::move(it->second));
    early_.erase(it);
  }
}

MessageWriter& BatchOutbox::Open(size_t size) {
  if (open_.size() > 0 && open_.size() + size > max_message_bytes_)
    full_.push_back(std::exchange(open_, MessageWriter()));
  return open_;
}

std::optional<grpc::ByteBuffer> BatchOutbox::Take() {
  MessageWriter message;
  if (!full_.empty()) {
    message = std::move(full_.front());
    full_.erase(full_.begin());
  } else if (open_.size() > 0) {
    message = std::exchange(open_, MessageWriter());
  } else {
    return std::nullopt;
  }
  bytes_ -= message.size();
  return message.Take();
}

}  // namespace fetchd::server
