#include "base/recycler.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

TEST(Recycler, BlocksInUseAreApart) {
  struct Held {
    void* block;
    size_t size;
  };
  std::vector<Held> held;
  for (int round = 0; round < 3; ++round) {
    for (const size_t size : {1, 127, 128, 129, 4096, 8064, 8192, 8193, 100'000}) {
      void* const block = Recycler::Allocate(size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % __STDCPP_DEFAULT_NEW_ALIGNMENT__, 0u);
      std::memset(block, static_cast<int>(held.size()), size);
      held.push_back({block, size});
    }
    // Every other one goes back, to be given out in the next round.
    for (size_t i = 0; i < held.size(); ++i) {
      const auto* bytes = static_cast<unsigned char*>(held[i].block);
      for (size_t b = 0; b < held[i].size; ++b) ASSERT_EQ(bytes[b], bytes[0]);
      if (i % 2 == 0) Recycler::Free(held[i].block, held[i].size);
    }
    std::vector<Held> left;
    for (size_t i = 1; i < held.size(); i += 2) left.push_back(held[i]);
    held = std::move(left);
    for (size_t i = 0; i < held.size(); ++i) std::memset(held[i].block, static_cast<int>(i), held[i].size);
  }
  for (const Held& h : held) Recycler::Free(h.block, h.size);
}

TEST(Recycler, KeepsNoMoreThanItsLimitAndNothingOfAThreadThatEnds) {
  // A leak checker sees whether all of it is given back.
  std::thread([] {
    constexpr size_t kSize = 8 * 1024;
    std::vector<void*> blocks;
    for (size_t i = 0; i < Recycler::kMaxKept / kSize * 2; ++i) blocks.push_back(Recycler::Allocate(kSize - 128));
    for (void* block : blocks) Recycler::Free(block, kSize - 128);
  }).join();
}

TEST(Recycler, BlocksMayBeGivenBackByAnotherThread) {
  void* const block = Recycler::Allocate(200);
  std::thread([block] { Recycler::Free(block, 200); }).join();
}

TEST(Recycler, ServesTheStandardLibrary) {
  std::weak_ptr<int> watched;
  {
    const auto number = std::allocate_shared<int>(RecyclingAllocator<int>(), 7);
    watched = number;
    EXPECT_EQ(*number, 7);
  }
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace fetchd::server
