// One HTTP/2 connection to an origin (RFC 9113).
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/timer_queue.h"
#include "model/failure.h"
#include "net/cancel_scope.h"
#include "net/event.h"
#include "net/reactor.h"
#include "net/task.h"
#include "net/transport.h"

namespace fetchd::server {

// The version of nghttp2 that runs, such as "1.52.0".
const char* Nghttp2Version();

// How an HTTP/2 connection behaves.
struct H2Options {
  // Streams at once on one connection, whatever the peer allows. 1 or more.
  uint32_t max_streams = 100;
  // Of one stream: what the origin may send before the caller has taken any of it, in bytes. It doubles, up to the
  // greatest, each time a caller has taken so much without being waited for; so who does not read makes us hold little.
  uint32_t stream_window = 256 * 1024;
  uint32_t max_stream_window = 8 * 1024 * 1024;
  // Of all streams together: large, since each stream has its own bound, and one that stands still must not stop
  // others.
  uint32_t connection_window = 64 * 1024 * 1024;
  // With streams open, an origin that has sent nothing for so long is asked by a PING...
  Duration ping_after = std::chrono::seconds(10);
  // ...and is given up when nothing has come for so long after it. Also how long the origin's SETTINGS may take.
  Duration ping_timeout = std::chrono::seconds(5);
};

// How a stream ended, as the session knows it.
struct H2StreamEnd {
  // Unset: in order.
  std::optional<FailureCode> failure;
  // The origin surely did not act on the request: it said so (REFUSED_STREAM, GOAWAY with a lower stream id).
  bool unprocessed = false;
  // For people.
  std::string detail;
};

// One request and its response, as the session sees them. Called on the owner thread, from within the session: it may
// call Consume, Reset and ResumeBody, but not Submit, and resumes nobody in place.
class H2Stream {
 public:
  virtual ~H2Stream() = default;
  // A field of the head or trailers at hand. False: enough of it, the stream was reset by this.
  virtual bool OnField(std::string_view name, std::string_view value) = 0;
  // The block is complete; `last` if nothing follows it.
  virtual void OnFields(bool last) = 0;
  // Bytes of the body. Each is to be given back by Consume, sooner or later.
  virtual void OnData(std::string_view bytes) = 0;
  // No more OnData for now: what is done once for all bytes that came together is done now. Not called after OnEnd.
  virtual void OnDataPause() = 0;
  // The body is complete.
  virtual void OnLast() = 0;
  // The last call: nothing of the stream is left in the session.
  virtual void OnEnd(const H2StreamEnd& end) = 0;
  // Fills `room` with the next bytes of the request body; returns how many. 0: none now (ResumeBody says when), or,
  // with `last` set, none any more. `last` may come with bytes.
  virtual size_t OnWantBody(std::span<char> room, bool& last) = 0;
};

// Speaks HTTP/2 on a transport through nghttp2, which keeps the rules of frames, streams and HPACK. Two coroutines read
// and write for all streams, so that many requests share a write and many responses a read. Belongs to an engine
// thread.
//
// What nghttp2 leaves to us: windows are given back only for what callers have taken; frames that cost the origin
// nothing and us something (PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, PRIORITY, empty DATA, unknown ones) are counted
// against the useful ones; an origin that is silent is asked by PING.
class H2Session {
 public:
  // Who is told. Called from the session's coroutines; may call anything but the destructor, unless it says so.
  class Owner {
   public:
    // capacity() has changed, or usable() has become false.
    virtual void OnSessionChanged(H2Session& session) = 0;
    // Its coroutines have ended, nobody waits: it may be destroyed in this call.
    virtual void OnSessionOver(H2Session& session) = 0;

   protected:
    ~Owner() = default;
  };

  // `transport` and `scratch` (room for reads, shared by all sessions of the thread, as nothing in it outlives a read)
  // outlive this.
  H2Session(const H2Options& options, Transport& transport, std::span<char> scratch, Executor executor,
            const Clock& clock, TimerQueue& timers, Owner& owner);
  // Requires that it never started, or is over.
  ~H2Session();
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;

  // Sends the preface and begins to read.
  void Start();

  // New streams may be begun, as far as capacity() goes.
  bool usable() const { return !retired_ && !failure_.has_value() && !goaway_received_; }
  // How many streams there may be at once; 0 if not usable().
  size_t capacity() const;
  // The same, as it is to be expected: before the origin's SETTINGS came, what most allow.
  size_t expected_capacity() const;
  size_t streams() const { return attached_; }
  // Why the connection broke, if it did.
  const std::optional<Failure>& failure() const { return failure_; }
  // The origin does not speak HTTP/2 after all, or not for what it was asked.
  bool wants_http1() const { return wants_http1_; }
  // The peer has sent its SETTINGS: it speaks HTTP/2.
  bool settled() const { return settled_; }

  // No new streams; the connection is closed when the last one has ended.
  void Retire();
  // Closes now; the streams that are left fail with kConnectionTerminated.
  void Close();

  // Begins a stream. `fields` are copied. `stream` outlives it or calls Detach. The id, or nullopt if there is no room,
  // which a caller that kept to capacity() does not see but after a moment's change.
  std::optional<int32_t> Submit(std::span<const nghttp2_nv> fields, bool has_body, H2Stream& stream);
  // `n` bytes of the stream's body were taken, also after its end: opens the windows again.
  void Consume(int32_t id, size_t n);
  // The stream holds bytes that its caller does not take yet. When all of them do, nothing more is read: what a peer
  // sends is better kept by the network than by us.
  void SetStalled(int32_t id, bool stalled);
  // The stream may have twice the window.
  void Widen(int32_t id, uint32_t window);
  // The stream's OnWantBody has something to say again.
  void ResumeBody(int32_t id);
  // Forgets the stream, and tells the origin so (RST_STREAM with `code`) unless it has ended.
  void Detach(int32_t id, uint32_t code);

  // The clock as of the read being worked on.
  Instant now() const { return now_; }
  const H2Options& options() const { return options_; }

 private:
  struct Slot {
    H2Stream* stream = nullptr;
    // Bytes given to the stream and not consumed yet.
    uint64_t held = 0;
    bool ended = false;
    bool stalled = false;
    // By which code the origin reset it.
    std::optional<uint32_t> reset_by_peer;
  };
  struct Callbacks;
  struct SessionDeleter {
    void operator()(nghttp2_session* s) const { nghttp2_session_del(s); }
  };

  static Task<void> Read(H2Session& self);
  static Task<void> Write(H2Session& self);
  void OnLoopEnded();
  // Of a slot that is about to lose its stream.
  void CountOut(const Slot& slot);
  void Feed(std::span<const char> bytes);
  // nghttp2 wants to read no more.
  void DieIfOver();
  void DieOfIdleBytes();
  void OnFrame(const nghttp2_frame& frame);
  H2Stream* Find(int32_t id);
  // The stream that was fed last has a pause.
  void PauseFed();
  void OnStreamClosed(int32_t id, uint32_t code);
  // Ends everything with this failure; the first one counts.
  void Die(FailureCode code, std::string detail);
  // A frame of which `bytes` are no padding. False once there were too many that move nothing.
  bool CountFrame(const nghttp2_frame_hd& hd, size_t bytes);
  bool CountIdleFrame(Instant now);
  void OnUsefulFrame();
  void OnTimer();
  void ArmTimer();
  void Wake() { wake_.Set(); }
  // A retired session without streams says good-bye.
  void EndIfDone();

  const H2Options options_;
  Transport& transport_;
  const std::span<char> scratch_;
  Executor executor_;
  Reactor& reactor_;
  const Clock& clock_;
  Owner& owner_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  CancelScope scope_;
  // The writer has something to do.
  Event wake_;
  // Reading is worth while again.
  Event readable_;
  Timer timer_;
  std::string out_;
  absl::flat_hash_map<int32_t, Slot> slots_;
  // Got bytes, and was not told of a pause yet; how many, and the most that one stream got in this read.
  H2Stream* fed_ = nullptr;
  size_t fed_bytes_ = 0;
  size_t most_fed_ = 0;
  // With a stream, and of these the stalled ones.
  size_t attached_ = 0;
  size_t stalled_ = 0;
  int loops_ = 0;
  Instant now_;
  Instant last_read_;
  bool ping_out_ = false;
  bool settled_ = false;
  bool wants_http1_ = false;
  bool goaway_received_ = false;
  bool retired_ = false;
  bool said_good_bye_ = false;
  bool flooded_ = false;
  // See CountIdleFrame.
  int64_t allowance_;
  Instant allowance_at_;
  // Received since the last useful frame; below 0 after resets, as what is under way then is not useful either.
  int64_t idle_bytes_ = 0;
  // What nghttp2 said last, for people.
  std::string last_error_;
  std::optional<Failure> failure_;
};

}  // namespace fetchd::server
