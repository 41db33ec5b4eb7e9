// One byte stream to a peer.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <span>

#include "model/ip_address.h"
#include "net/cancel_scope.h"
#include "net/task.h"

namespace fetchd::server {

using boost::system::error_code;

// What a read or write came to.
struct IoResult {
  enum class Kind : uint8_t {
    kOk,            // n > 0 bytes moved
    kEof,           // the peer ended the stream in order (FIN; with TLS after close_notify)
    kReset,         // the peer broke the connection (RST, EPIPE)
    kTruncatedTls,  // the TCP stream ended without close_notify: what came may have been cut by an attacker
    kStopped,       // the scope stopped; its reason() says why. The stream may be in the middle of something
    kError,         // anything else, see ec
  };
  Kind kind = Kind::kError;
  size_t n = 0;
  // Set with kReset and kError.
  error_code ec;

  bool ok() const { return kind == Kind::kOk; }
};

// A connected byte stream, plain TCP or TLS. Belongs to one engine thread; destroying it closes it, which requires that
// no read or write is waiting. One read and one write may wait at the same time.
class Transport {
 public:
  virtual ~Transport() = default;

  // Reads at least one byte into `buffer` (not empty). Once it returned anything but kOk or kStopped, it keeps doing
  // so.
  virtual Task<IoResult> ReadSome(std::span<char> buffer, CancelScope& scope) = 0;

  // Writes at least one byte of `buffers`, taken as one sequence that is not empty, and says how many: the caller goes
  // on with the rest, so it sees each progress. With TLS, the rest must begin with the same bytes.
  virtual Task<IoResult> WriteSome(std::span<const asio::const_buffer> buffers, CancelScope& scope) = 0;

  // For a connection that should be silent: false if the peer has closed it or sent bytes nobody asked for. Looks at
  // what has arrived, without waiting; TLS session tickets are taken in and do not count as bytes.
  virtual bool LooksAlive() = 0;

  // Closes at once: a waiting read or write ends with kError. With TLS, close_notify is sent if there is room.
  // Idempotent.
  virtual void Close() = 0;

  // The address that was dialled.
  virtual const Endpoint& peer() const = 0;
};

}  // namespace fetchd::server
