// What gRPC hands back when an operation is done.
#pragma once

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

namespace fetchd::server {

// An object whose address (as CqTag*) is the tag of an operation on the completion queue. Called on the loop thread,
// inside an io_context handler.
class CqTag {
 public:
  virtual ~CqTag() = default;
  virtual void OnEvent(bool ok) = 0;

  // To be called before an operation with this tag is begun, and when it came back. gRPC orders the two; but TSan does
  // not see into gRPC and has to be told. Otherwise nothing.
  void Begun() {
#ifdef __SANITIZE_THREAD__
    __tsan_release(this);
#endif
  }
  static CqTag* Back(void* tag) {
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(tag);
#endif
    return static_cast<CqTag*>(tag);
  }
};

}  // namespace fetchd::server
