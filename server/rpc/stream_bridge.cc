#include "rpc/stream_bridge.h"

#include <algorithm>
#include <bit>
#include <boost/asio/post.hpp>
#include <utility>

namespace fetchd::server {
namespace {

constexpr int kMaxBlocks = 2;

}  // namespace

size_t BlockSize::Take(int64_t held) {
  const size_t most = held > kMuch ? kMostWhenScarce : kMost;
  const size_t size = std::clamp(static_cast<size_t>(std::bit_floor(passed_ / 16)), kLeast, most);
  passed_ += size;
  return size;
}

void BlockSize::OnStarved(Duration waited) {
  if (waited > kPatience) passed_ = 0;
}

StreamBridge::StreamBridge(Executor home, StreamListener& listener, std::optional<Upload> upload,
                           SharedCell& buffered_bytes, const Clock& clock)
    : home_(home), listener_(&listener), buffered_bytes_(buffered_bytes), clock_(clock), upload_(upload) {
  rpc = "FetchStream";
}

void StreamBridge::NotifyHome() {
  // Posted also if this is the home thread: what arrives in one round of the loop travels together.
  if (std::exchange(notified_, true)) return;
  asio::post(home_, [self = Self()] {
    {
      const std::lock_guard lock(self->mutex_);
      self->notified_ = false;
    }
    if (self->listener_ != nullptr) self->listener_->OnBridge();
  });
}

std::optional<ResponseHead> StreamBridge::TakeHead() {
  const std::lock_guard lock(mutex_);
  return std::exchange(head_, std::nullopt);
}

std::vector<StreamBridge::Piece> StreamBridge::TakePieces() {
  const std::lock_guard lock(mutex_);
  std::vector<Piece> pieces;
  size_t room = kMaxChunk;
  if (!resumed_.empty()) room = std::min<uint64_t>(room, resumed_.front() - went_);
  while (room > 0 && !full_.empty()) {
    Piece& first = full_.front();
    const size_t n = std::min(room, first.size);
    room -= n;
    went_ += n;
    if (n == first.size) {
      pieces.push_back(std::move(first));
      full_.pop_front();
    } else {
      pieces.push_back({first.block, first.at, n});
      first.at += n;
      first.size -= n;
    }
  }
  if (const size_t n = std::min(room, filled_ - taken_); n > 0) {
    pieces.push_back({filling_, taken_, n});
    taken_ += n;
    went_ += n;
    // A full block is free again as soon as gRPC has sent it.
    if (taken_ == filling_->size) {
      filling_.reset();
      filled_ = taken_ = 0;
    }
  }
  return pieces;
}

std::optional<uint64_t> StreamBridge::TakeResumed() {
  const std::lock_guard lock(mutex_);
  if (resumed_.empty() || resumed_.front() != went_) return std::nullopt;
  resumed_.pop_front();
  return went_;
}

std::optional<Outcome> StreamBridge::TakeOutcome() {
  const std::lock_guard lock(mutex_);
  if (head_ || !resumed_.empty() || !full_.empty() || filled_ > taken_) return std::nullopt;
  return std::exchange(outcome_, std::nullopt);
}

void StreamBridge::OnStart(Executor owner) {
  const std::lock_guard lock(mutex_);
  owner_is_home_ = owner == home_;
  owner_ = owner;
  writable_.emplace(owner);
  // The upload belongs to the first owner, and nobody reads it after a redirect.
  if (readable_) {
    uploader_waits_ = false;
  } else {
    readable_.emplace(owner);
  }
}

void StreamBridge::OnHead(ResponseHead head) {
  const std::lock_guard lock(mutex_);
  content_length_ = head.content_length;
  head_ = std::move(head);
  NotifyHome();
}

std::span<char> StreamBridge::Prepare(size_t want) {
  std::shared_ptr<Block> full;  // released without the lock: that may free it
  {
    const std::lock_guard lock(mutex_);
    if (filling_ != nullptr && filled_ == filling_->size) {
      if (filled_ > taken_) full_.push_back({filling_, taken_, filled_ - taken_});
      full = std::exchange(filling_, nullptr);
      filled_ = taken_ = 0;
    }
  }
  full.reset();
  const std::lock_guard lock(mutex_);
  if (filling_ == nullptr) {
    if (blocks_ == kMaxBlocks) {
      if (!starved_since_) starved_since_ = clock_.Now();
      return {};
    }
    filling_ = NewBlock();
  }
  return {filling_->bytes.get() + filled_, std::min(want, filling_->size - filled_)};
}

std::shared_ptr<StreamBridge::Block> StreamBridge::NewBlock() {
  size_t size = block_size_.Take(buffered_bytes_.value());
  if (content_length_ && *content_length_ > prepared_)
    size = static_cast<size_t>(std::min<uint64_t>(*content_length_ - prepared_, size));
  Block block = std::exchange(spare_, {});
  // The last block of a body may be a part of the spare one; one made for a caller that has become slow may not.
  if (block.size < size || block.size > std::max(2 * size, BlockSize::kLeast))
    block = {std::make_unique_for_overwrite<char[]>(size), size};
  ++blocks_;
  buffered_bytes_.Add(static_cast<int64_t>(block.size));
  prepared_ += block.size;
  return {new Block(std::move(block)), [self = Self()](Block* freed) {
            self->OnBlockFree(std::move(*freed));
            delete freed;
          }};
}

void StreamBridge::OnBlockFree(Block block) {
  buffered_bytes_.Add(-static_cast<int64_t>(block.size));
  const std::lock_guard lock(mutex_);
  --blocks_;
  if (done_) return;
  if (block.size > spare_.size) spare_ = std::move(block);
  const auto since = std::exchange(starved_since_, std::nullopt);
  if (!since) return;
  block_size_.OnStarved(clock_.Now() - *since);
  asio::post(*owner_, [self = Self()] { self->writable_->Set(); });
}

void StreamBridge::Commit(size_t n) {
  const std::lock_guard lock(mutex_);
  filled_ += n;
  came_ += n;
  NotifyHome();
}

void StreamBridge::OnResumed(uint64_t) {
  // Counted anew: the offset is that of the body as it was sent, and it may have been decoded since.
  const std::lock_guard lock(mutex_);
  resumed_.push_back(came_);
  NotifyHome();
}

void StreamBridge::OnDone(Outcome outcome) {
  std::shared_ptr<Block> last;
  Block spare;
  const std::lock_guard lock(mutex_);
  done_ = true;
  spare = std::exchange(spare_, {});
  if (filled_ > taken_) {
    full_.push_back({filling_, taken_, filled_ - taken_});
    filling_.reset();
  } else {
    last = std::exchange(filling_, nullptr);
  }
  filled_ = taken_ = 0;
  outcome_ = std::move(outcome);
  NotifyHome();
}

void StreamBridge::Push(std::string piece) {
  if (piece.empty()) return;
  const std::lock_guard lock(mutex_);
  if (done_) return;
  queued_ += piece.size();
  queue_.push_back(std::move(piece));
  WakeUploader();
}

bool StreamBridge::WantsUpload() {
  const std::lock_guard lock(mutex_);
  if (done_) return false;
  home_waits_ = queued_ >= kUploadMark;
  return !home_waits_;
}

void StreamBridge::EndUpload() {
  const std::lock_guard lock(mutex_);
  upload_ended_ = true;
  WakeUploader();
}

void StreamBridge::FailUpload() {
  const std::lock_guard lock(mutex_);
  upload_failed_ = true;
  WakeUploader();
}

void StreamBridge::WakeUploader() {
  if (!std::exchange(uploader_waits_, false)) return;
  if (owner_is_home_) {
    readable_->Set();
  } else {
    asio::post(*owner_, [self = Self()] { self->readable_->Set(); });
  }
}

RequestBody::State StreamBridge::UploadBody::Peek(std::string_view& piece) {
  const std::lock_guard lock(bridge_.mutex_);
  // What was broken off is never sent as if it were whole.
  if (bridge_.upload_failed_) return State::kFailed;
  if (!bridge_.queue_.empty()) {
    piece = std::string_view(bridge_.queue_.front()).substr(bridge_.queue_at_);
    return State::kData;
  }
  if (bridge_.upload_ended_) return State::kEnd;
  bridge_.uploader_waits_ = true;
  return State::kWait;
}

void StreamBridge::UploadBody::Consume(size_t n) {
  const std::lock_guard lock(bridge_.mutex_);
  bridge_.queue_at_ += n;
  bridge_.queued_ -= n;
  if (bridge_.queue_at_ == bridge_.queue_.front().size()) {
    bridge_.queue_.pop_front();
    bridge_.queue_at_ = 0;
  }
  if (!bridge_.home_waits_ || bridge_.queued_ >= kUploadMark) return;
  bridge_.home_waits_ = false;
  bridge_.NotifyHome();
}

}  // namespace fetchd::server
