// Memory for what every fetch makes anew and gives back soon: coroutine frames, calls.
#pragma once

#include <cstddef>
#include <new>

namespace fetchd::server {

// Blocks given back are kept by the thread that gave them back, up to kMaxKept bytes, and given out again without the
// allocator, whose pages hold few blocks of this size and are searched often. Any thread may give back a block of any
// other. Under a sanitizer nothing is kept, so that it sees every use.
class Recycler {
 public:
  // What a thread keeps at most, in bytes: the frames of some 200 fetches, as two batches of 100 have in flight.
  static constexpr size_t kMaxKept = 2 * 1024 * 1024;

  static void* Allocate(size_t size) {
    const size_t c = ClassOf(size);
    Kept& kept = kept_;
    if (c >= kClasses || kept.blocks[c] == nullptr) return ::operator new(SizeOf(c));
    Block* const block = kept.blocks[c];
    kept.blocks[c] = block->next;
    kept.room += SizeOf(c);
    return block;
  }
  // `size` as it was asked for.
  static void Free(void* memory, size_t size) {
    const size_t c = ClassOf(size);
    Kept& kept = kept_;
    if (c >= kClasses || kept.room < SizeOf(c)) return FreeSlowly(memory, size);
    kept.blocks[c] = new (memory) Block{kept.blocks[c]};
    kept.room -= SizeOf(c);
  }

 private:
  static constexpr size_t kStep = 128;
  static constexpr size_t kClasses = 64;
  static constexpr size_t ClassOf(size_t size) { return (size + kStep - 1) / kStep; }
  static constexpr size_t SizeOf(size_t c) { return c * kStep; }

  struct Block {
    Block* next;
  };
  // Of one thread. Trivial, so that it is reached without a check whether it was made.
  struct Kept {
    Block* blocks[kClasses];
    // Bytes that may still be kept: none before the thread's first block, and none once the thread ends.
    size_t room;
    bool begun;
  };
  struct Cleaner;

  static void FreeSlowly(void* memory, size_t size);

  static inline constinit thread_local Kept kept_{};
};

// A standard allocator of single objects from the Recycler.
template <typename T>
struct RecyclingAllocator {
  using value_type = T;
  RecyclingAllocator() = default;
  template <typename U>
  // Standard allocators convert.
  RecyclingAllocator(const RecyclingAllocator<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(size_t n) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return static_cast<T*>(Recycler::Allocate(n * sizeof(T)));
  }
  void deallocate(T* memory, size_t n) { Recycler::Free(memory, n * sizeof(T)); }
  bool operator==(const RecyclingAllocator&) const { return true; }
};

}  // namespace fetchd::server
