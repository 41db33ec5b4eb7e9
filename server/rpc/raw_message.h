// Messages as gRPC carries them: what calls of raw methods read and write.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fetchd::server {

// False if the bytes are no such message. `bytes` may come in any number of slices and are given back at once.
bool ParseMessage(grpc::ByteBuffer& bytes, google::protobuf::MessageLite& into);
grpc::ByteBuffer SerialiseMessage(const google::protobuf::MessageLite& message);

// A slice of bytes that `keeper` owns, which is moved from. It is destroyed wherever gRPC drops the slice, on any
// thread.
template <typename Keeper>
grpc::Slice SliceKeeping(char* data, size_t size, Keeper&& keeper) {
  static_assert(!std::is_reference_v<Keeper>, "to be moved");
  auto* const kept = new Keeper(std::move(keeper));
  return {data, size, [](void* k) { delete static_cast<Keeper*>(k); }, kept};
}

// Puts a message together from pieces in the wire format, in blocks that become gRPC's slices as they are. A value; not
// thread-safe. A moved-from writer may only be destroyed or assigned to.
class MessageWriter {
 public:
  MessageWriter() = default;
  MessageWriter(MessageWriter&&) = default;
  MessageWriter& operator=(MessageWriter&&) = default;

  // Room for `n` bytes, which the caller fills before anything else is appended. One piece is not split, so a message
  // of one piece takes exactly its size; blocks of further pieces grow with the message.
  uint8_t* Append(size_t n);
  // Bytes that are not copied, more than std::string holds in place.
  void Append(std::string&& bytes);
  // Another message's pieces, none of them copied.
  void Append(MessageWriter&& other);
  // Bytes so far.
  size_t size() const { return size_; }
  // The message; nothing is appended afterwards.
  grpc::ByteBuffer Take();

 private:
  void CloseBlock();

  std::vector<grpc::Slice> slices_;
  // Being filled, behind slices_.
  grpc::Slice block_;
  size_t used_ = 0;  // bytes of block_
  size_t size_ = 0;
};

}  // namespace fetchd::server
