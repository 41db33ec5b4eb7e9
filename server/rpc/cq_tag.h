// What gRPC hands back when an operation is done.
#pragma once

namespace fetchd::server {

// An object whose address (as CqTag*) is the tag of an operation on the completion queue. Called on the loop thread,
// inside an io_context handler.
class CqTag {
 public:
  virtual ~CqTag() = default;
  virtual void OnEvent(bool ok) = 0;
};

}  // namespace fetchd::server
