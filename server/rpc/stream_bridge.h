// What FetchStream's RPC and its fetch share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fetch/fetch_call.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// Told on the home thread that the bridge has something new; never from inside a call into the bridge.
class StreamListener {
 public:
  virtual ~StreamListener() = default;
  virtual void OnBridge() = 0;
};

// How large the next block of a stream is to be. Large ones cost fewer system calls, messages and wake-ups for each
// byte; but two of them are what a caller that reads slowly, or not at all, makes us hold. So blocks grow with what has
// passed without a long wait, well beyond what the buffers on the way swallow at once: 1/16 of it. And they stay small
// while all streams together hold much.
class BlockSize {
 public:
  static constexpr size_t kLeast = 64 * 1024;
  static constexpr size_t kMost = 2 * 1024 * 1024;
  // Beyond this in all blocks there are, blocks are no larger than kMostWhenScarce.
  static constexpr int64_t kMuch = 64 * 1024 * 1024;
  static constexpr size_t kMostWhenScarce = 256 * 1024;
  // A caller that lets us wait longer than this for a free block does not keep pace.
  static constexpr Duration kPatience = std::chrono::milliseconds(20);

  // Of the next block, which is made now; `held` is what all blocks there are hold.
  size_t Take(int64_t held);
  // No block was free for `waited`.
  void OnStarved(Duration waited);

 private:
  // Bytes, since the caller last did not keep pace.
  uint64_t passed_ = 0;
};

// The fetch of one FetchStream: takes body bytes from the owner thread to the home thread and back, with a bound in
// each direction. The response is read from the network straight into blocks, of which at most two exist at a time;
// gRPC is handed slices of them and gives a block back when it has sent it. So a caller that does not read stops the
// read from the origin after two blocks. Blocks grow as long as the caller keeps pace: see BlockSize.
//
// The one object of an RPC that two threads use, so it has the one mutex.
class StreamBridge final : public FetchCall {
 public:
  // Bytes in one chunk message at most; of any number of blocks.
  static constexpr size_t kMaxChunk = 1024 * 1024;
  // Below this many bytes of request body in the queue the caller's next message is read.
  static constexpr size_t kUploadMark = 256 * 1024;

  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  // Body bytes, and what keeps them.
  struct Piece {
    std::shared_ptr<Block> block;
    size_t at = 0;
    size_t size = 0;
    char* data() const { return block->bytes.get() + at; }
  };
  struct Upload {
    std::optional<uint64_t> length;
  };

  // `upload` is set if the caller streams a request body. `listener` must live until Detach. `buffered_bytes` counts
  // the blocks and outlives them, as does `clock`.
  StreamBridge(Executor home, StreamListener& listener, std::optional<Upload> upload, SharedCell& buffered_bytes,
               const Clock& clock);

  // Home thread.
  void Detach() { listener_ = nullptr; }
  std::optional<ResponseHead> TakeHead();
  // The response was resumed after the body bytes that were taken so far: how many they are.
  std::optional<uint64_t> TakeResumed();
  // Body bytes that have arrived since the last time, at most kMaxChunk; ask again for the rest. Ends where the
  // response was resumed.
  std::vector<Piece> TakePieces();
  // The end, once head and pieces were taken. It must be taken: until then blocks and bridge may keep each other.
  std::optional<Outcome> TakeOutcome();
  void Push(std::string piece);
  // May the caller's next message be read? If not, the listener is told when it may.
  bool WantsUpload();
  void EndUpload();
  void FailUpload();

  // Owner thread.
  RequestBody* request_body() override { return upload_ ? &upload_body_ : nullptr; }
  void OnStart(Executor owner) override;
  void OnHead(ResponseHead head) override;
  std::span<char> Prepare(size_t want) override;
  void Commit(size_t n) override;
  Event& Writable() override { return *writable_; }
  void OnResumed(uint64_t offset) override;
  void OnDone(Outcome outcome) override;

 private:
  // The request body as the exchange reads it; owner thread.
  class UploadBody final : public RequestBody {
   public:
    explicit UploadBody(StreamBridge& bridge) : bridge_(bridge) {}
    std::optional<uint64_t> length() const override { return bridge_.upload_->length; }
    State Peek(std::string_view& piece) override;
    void Consume(size_t n) override;
    Event& Readable() override { return *bridge_.readable_; }

   private:
    StreamBridge& bridge_;
  };

  std::shared_ptr<StreamBridge> Self() { return std::static_pointer_cast<StreamBridge>(shared_from_this()); }
  // With mutex_ held.
  void NotifyHome();
  void WakeUploader();
  std::shared_ptr<Block> NewBlock();
  // Whoever drops the last piece of a block, on any thread.
  void OnBlockFree(Block block);

  const Executor home_;
  StreamListener* listener_;
  SharedCell& buffered_bytes_;
  const Clock& clock_;
  const std::optional<Upload> upload_;
  UploadBody upload_body_{*this};

  // Set in OnStart.
  bool owner_is_home_ = false;
  std::optional<Executor> owner_;
  std::optional<Event> writable_, readable_;

  std::mutex mutex_;
  bool notified_ = false;
  // Response.
  std::optional<ResponseHead> head_;
  std::optional<uint64_t> content_length_;
  std::shared_ptr<Block> filling_;
  size_t filled_ = 0;  // of the block being filled
  size_t taken_ = 0;   // of these, what home has taken
  std::deque<Piece> full_;
  // Body bytes that came, and that home has taken; and after how many of them the response was resumed.
  uint64_t came_ = 0;
  uint64_t went_ = 0;
  std::deque<uint64_t> resumed_;
  Block spare_;
  int blocks_ = 0;
  uint64_t prepared_ = 0;  // room handed out in blocks so far
  BlockSize block_size_;
  std::optional<Instant> starved_since_;
  std::optional<Outcome> outcome_;
  bool done_ = false;
  // Request body.
  std::deque<std::string> queue_;
  size_t queue_at_ = 0;  // bytes of the first piece that were sent
  size_t queued_ = 0;
  bool upload_ended_ = false;
  bool upload_failed_ = false;
  bool uploader_waits_ = false;
  bool home_waits_ = false;
};

}  // namespace fetchd::server
