#include "base/recycler.h"

namespace fetchd::server {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKeeps = false;
#elif defined(__has_feature)  // clang
constexpr bool kKeeps = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool kKeeps = true;
#endif

}  // namespace

// Gives back what its thread kept when the thread ends.
struct Recycler::Cleaner {
  Cleaner() { kept_.room = kMaxKept; }
  ~Cleaner() {
    kept_.room = 0;
    for (Block*& first : kept_.blocks) {
      while (Block* const block = first) {
        first = block->next;
        ::operator delete(block);
      }
    }
  }
};

void Recycler::FreeSlowly(void* memory, size_t size) {
  if (kKeeps && !kept_.begun) {
    kept_.begun = true;
    thread_local Cleaner cleaner;
    return Free(memory, size);
  }
  ::operator delete(memory);
}

}  // namespace fetchd::server
