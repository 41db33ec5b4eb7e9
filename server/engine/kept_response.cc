#include "engine/kept_response.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace fetchd::server {

std::span<char> KeptResponse::Prepare(size_t want) {
  if (!overflowed_ && used_ == kMaxBody) {
    overflowed_ = true;
    caller_.OnHead(std::move(head_));
  }
  if (overflowed_) {
    if (!Flush()) return {};
    return caller_.Prepare(want);
  }
  size_t n = std::min(want, kMaxBody - used_);
  if (body_.size() < used_ + n) body_.resize(used_ + n);
  return {body_.data() + used_, n};
}

void KeptResponse::Commit(size_t n) {
  if (overflowed_)
    caller_.Commit(n);
  else
    used_ += n;
}

bool KeptResponse::Flush() {
  while (flushed_ < used_) {
    std::span<char> room = caller_.Prepare(used_ - flushed_);
    if (room.empty()) return false;
    size_t n = std::min(room.size(), used_ - flushed_);
    std::memcpy(room.data(), body_.data() + flushed_, n);
    caller_.Commit(n);
    flushed_ += n;
  }
  return true;
}

Task<bool> KeptResponse::Replay(CancelScope& scope) {
  if (!overflowed_) {
    overflowed_ = true;
    caller_.OnHead(std::move(head_));
  }
  while (!Flush()) {
    // What the caller's sink refuses it says itself at the end.
    if (caller_.refusal() != nullptr) co_return true;
    bool writable = co_await caller_.Writable().Wait(scope);
    if (!writable) co_return false;
  }
  co_return true;
}

}  // namespace fetchd::server
