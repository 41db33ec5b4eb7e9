// A peer made of a script, instead of a socket.
#pragma once

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/event.h"
#include "net/transport.h"

namespace fetchd::server {

// The far end of a ScriptedTransport, shared by the test and the transport: the test feeds what the peer sends and
// looks at what it was sent, also after the transport is gone. Same thread as the transport.
class ScriptedPeer {
 public:
  explicit ScriptedPeer(Executor executor) : readable_(executor), writable_(executor) {}

  // The peer sends bytes. Each piece ends a read, as segments on a wire may.
  void Send(std::string bytes) {
    pieces_.push_back(std::move(bytes));
    readable_.Set();
  }
  // After what was sent so far, reads end with `kind` for ever.
  void End(IoResult::Kind kind = IoResult::Kind::kEof) {
    end_ = kind;
    has_end_ = true;
    readable_.Set();
  }
  // Each read brings at most `n` bytes, each write takes at most `n`.
  void LimitReads(size_t n) { read_limit_ = n; }
  void LimitWrites(size_t n) { write_limit_ = n; }
  // Takes nothing more after `n` further bytes: writes wait until AllowWrites.
  void BlockWritesAfter(size_t n) { write_room_ = n; }
  void AllowWrites() {
    write_room_ = SIZE_MAX;
    writable_.Set();
  }
  // Writes end with `kind` from now on.
  void FailWrites(IoResult::Kind kind) {
    write_failure_ = kind;
    fail_writes_ = true;
    writable_.Set();
  }
  // The n-th read or write from now (1: the next) and all after it fail with kReset; for sweeps.
  void FailAtOperation(int n) { fail_at_ = operations_ + n; }
  // What LooksAlive says, as long as there was no read or write, or nothing unread was sent and there is no end.
  void SetAlive(bool alive) { alive_ = alive; }

  // What the peer got so far.
  const std::string& received() const { return received_; }
  void ClearReceived() { received_.clear(); }
  bool closed() const { return closed_; }
  // Reads and writes begun.
  int operations() const { return operations_; }
  // Everything sent was read.
  bool drained() const { return pieces_.empty(); }

 private:
  friend class ScriptedTransport;
  Event readable_, writable_;
  std::deque<std::string> pieces_;
  std::string received_;
  IoResult::Kind end_ = IoResult::Kind::kEof;
  IoResult::Kind write_failure_ = IoResult::Kind::kReset;
  size_t read_limit_ = SIZE_MAX, write_limit_ = SIZE_MAX, write_room_ = SIZE_MAX;
  int operations_ = 0, fail_at_ = 0;
  bool has_end_ = false, fail_writes_ = false, alive_ = true, closed_ = false;
};

// A Transport whose other end is a ScriptedPeer.
class ScriptedTransport final : public Transport {
 public:
  explicit ScriptedTransport(std::shared_ptr<ScriptedPeer> peer,
                             Endpoint endpoint = {IpAddress::V4({192, 0, 2, 1}), 80})
      : peer_(std::move(peer)), endpoint_(endpoint) {}
  ~ScriptedTransport() override { peer_->closed_ = true; }

  Task<IoResult> ReadSome(std::span<char> buffer, CancelScope& scope) override {
    if (Fails()) co_return Result(IoResult::Kind::kReset);
    for (;;) {
      if (peer_->closed_) co_return Result(IoResult::Kind::kError);
      if (!peer_->pieces_.empty()) {
        std::string& piece = peer_->pieces_.front();
        size_t n = std::min({piece.size(), buffer.size(), peer_->read_limit_});
        std::memcpy(buffer.data(), piece.data(), n);
        piece.erase(0, n);
        if (piece.empty()) peer_->pieces_.pop_front();
        if (n == 0) continue;
        co_return IoResult{IoResult::Kind::kOk, n, {}};
      }
      if (peer_->has_end_) co_return Result(peer_->end_);
      if (!co_await peer_->readable_.Wait(scope)) co_return Result(IoResult::Kind::kStopped);
    }
  }

  Task<IoResult> WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) override {
    if (Fails()) co_return Result(IoResult::Kind::kReset);
    for (;;) {
      if (peer_->closed_) co_return Result(IoResult::Kind::kError);
      if (peer_->fail_writes_) co_return Result(peer_->write_failure_);
      size_t room = std::min(peer_->write_limit_, peer_->write_room_), n = 0;
      for (const asio::const_buffer& buffer : buffers) {
        size_t take = std::min(buffer.size(), room - n);
        peer_->received_.append(static_cast<const char*>(buffer.data()), take);
        n += take;
      }
      if (n > 0) {
        if (peer_->write_room_ != SIZE_MAX) peer_->write_room_ -= n;
        co_return IoResult{IoResult::Kind::kOk, n, {}};
      }
      if (!co_await peer_->writable_.Wait(scope)) co_return Result(IoResult::Kind::kStopped);
    }
  }

  bool LooksAlive() override {
    if (!peer_->alive_ || peer_->closed_) return false;
    // What a test prepares before anything happens is the answer to come.
    return peer_->operations_ == 0 || (!peer_->has_end_ && peer_->pieces_.empty());
  }
  void Close() override {
    peer_->closed_ = true;
    peer_->readable_.Set();
    peer_->writable_.Set();
  }
  const Endpoint& peer() const override { return endpoint_; }

 private:
  bool Fails() {
    ++peer_->operations_;
    return peer_->fail_at_ != 0 && peer_->operations_ >= peer_->fail_at_;
  }
  static IoResult Result(IoResult::Kind kind) {
    switch (kind) {
      case IoResult::Kind::kReset:
        return {kind, 0, asio::error::connection_reset};
      case IoResult::Kind::kError:
        return {kind, 0, asio::error::operation_aborted};
      default:
        return {kind, 0, {}};
    }
  }

  std::shared_ptr<ScriptedPeer> peer_;
  Endpoint endpoint_;
};

}  // namespace fetchd::server
