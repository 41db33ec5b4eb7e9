#include "rpc/raw_message.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <iterator>

namespace fetchd::server {
namespace {

constexpr size_t kLargestBlock = 64 * 1024;

}  // namespace

bool ParseMessage(grpc::ByteBuffer& bytes, google::protobuf::MessageLite& into) {
  bool parsed = false;
  // As nearly all requests come; a stream costs as much again as parsing a small message.
  if (grpc::Slice whole; bytes.Valid() && bytes.TrySingleSlice(&whole).ok()) {
    parsed = into.ParseFromArray(whole.begin(), static_cast<int>(whole.size()));
  } else {
    grpc::ProtoBufferReader reader(&bytes);
    parsed = reader.status().ok() && into.ParseFromZeroCopyStream(&reader);
  }
  bytes.Clear();
  return parsed;
}

grpc::ByteBuffer SerialiseMessage(const google::protobuf::MessageLite& message) {
  MessageWriter writer;
  const size_t size = message.ByteSizeLong();
  if (size > 0) message.SerializeWithCachedSizesToArray(writer.Append(size));
  return writer.Take();
}

uint8_t* MessageWriter::Append(size_t n) {
  if (block_.size() - used_ < n) {
    CloseBlock();
    block_ = grpc::Slice(std::max(n, std::min(size_, kLargestBlock)));
  }
  // A slice just allocated is nobody else's; gRPC's own ProtoBufferWriter fills it in the same way.
  uint8_t* const room = const_cast<uint8_t*>(block_.begin()) + used_;
  used_ += n;
  size_ += n;
  return room;
}

void MessageWriter::Append(std::string&& bytes) {
  CloseBlock();
  size_ += bytes.size();
  char* const data = bytes.data();
  const size_t size = bytes.size();
  slices_.push_back(SliceKeeping(data, size, std::move(bytes)));
}

void MessageWriter::Append(MessageWriter&& other) {
  CloseBlock();
  other.CloseBlock();
  size_ += other.size_;
  slices_.insert(slices_.end(), std::make_move_iterator(other.slices_.begin()),
                 std::make_move_iterator(other.slices_.end()));
}

void MessageWriter::CloseBlock() {
  if (used_ == 0) return;
  slices_.push_back(used_ == block_.size() ? std::move(block_) : block_.sub(0, used_));
  block_ = grpc::Slice();
  used_ = 0;
}

grpc::ByteBuffer MessageWriter::Take() {
  if (slices_.empty() && used_ == block_.size()) return {&block_, 1};
  CloseBlock();
  return {slices_.data(), slices_.size()};
}

}  // namespace fetchd::server
