#include "http/h2_session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/text.h"
#include "http/http_limits.h"

namespace fetchd::server {
namespace {

// What most servers allow (RFC 9113 section 6.5.2 recommends no less), until their SETTINGS tell; and with how many we
// begin meanwhile, lest a stricter one refuse the rest.
constexpr size_t kUsualCapacity = 100;
constexpr size_t kFirstStreams = 16;
// Frames are put together up to this for one write.
constexpr size_t kMaxWrite = 64 * 1024;
// Kept by a connection that has nothing to send.
constexpr size_t kIdleOut = 4 * 1024;
// Frames that move nothing: so many at once, and so many more for each one that does, or each second.
constexpr int64_t kMaxAllowance = 1000;
constexpr int64_t kAllowancePerFrame = 8;
constexpr int64_t kAllowancePerSecond = 20;
// Bytes without any useful frame among them: nghttp2 does not tell of frames of unknown types.
constexpr int64_t kMaxIdleBytes = 4 * 1024 * 1024;
// Read at most between two turns of everybody else on this thread, our own writing among them: an origin that always
// has more would keep the thread for itself, and its offences from being answered.
constexpr size_t kMaxTurn = 1024 * 1024;
// The largest head that we send, in bytes: more than rpc/ lets through.
constexpr size_t kMaxRequestHead = 256 * 1024;
// A connection that has nothing to do any more gets so long to say so.
constexpr Duration kGoodBye = std::chrono::milliseconds(100);

// nghttp2's callbacks and options, the same for all sessions.
template <typename T, auto make, auto free>
class Owned {
 public:
  Owned() { make(&p_); }
  ~Owned() { free(p_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T* get() const { return p_; }

 private:
  T* p_ = nullptr;
};
using CallbackTable = Owned<nghttp2_session_callbacks, nghttp2_session_callbacks_new, nghttp2_session_callbacks_del>;
using OptionTable = Owned<nghttp2_option, nghttp2_option_new, nghttp2_option_del>;

std::string_view View(const uint8_t* p, size_t n) { return {reinterpret_cast<const char*>(p), n}; }

}  // namespace

const char* Nghttp2Version() { return nghttp2_version(0)->version_str; }

// From C into the session. Nothing throws but for lack of memory.
struct H2Session::Callbacks {
  static H2Session& Self(void* p) { return *static_cast<H2Session*>(p); }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* p) {
    H2Session& self = Self(p);
    if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_PADDED) != 0 &&
        !self.CountFrame(frame->hd, frame->hd.length - frame->data.padlen))
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    self.OnFrame(*frame);
    return 0;
  }

  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* hd, void* p) {
    // How much of it is padding is known when it is over.
    if (hd->type == NGHTTP2_DATA && (hd->flags & NGHTTP2_FLAG_PADDED) != 0) return 0;
    return Self(p).CountFrame(*hd, hd->length) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t, void* p) {
    H2Stream* stream = Self(p).Find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    return stream->OnField(View(name, name_size), View(value, value_size)) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  // nghttp2 would skip a field that is malformed (RFC 9113 section 8.2.1 calls the whole response so).
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                             const uint8_t*, size_t, uint8_t, void* p) {
    Self(p).last_error_ =
        Concat("malformed field ", absl::CEscape(std::string(View(name, std::min<size_t>(name_size, 64)))));
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* p) {
    H2Session& self = Self(p);
    const auto it = self.slots_.find(id);
    if (it == self.slots_.end() || it->second.stream == nullptr) {
      // Nobody wants it; the connection's window must not shrink by it.
      nghttp2_session_consume(self.session_.get(), id, size);
      return 0;
    }
    it->second.held += size;
    H2Stream* const stream = it->second.stream;
    if (self.fed_ != stream) {
      self.PauseFed();
      self.fed_ = stream;
    }
    self.fed_bytes_ += size;
    stream->OnData(View(data, size));
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t id, uint32_t code, void* p) {
    Self(p).OnStreamClosed(id, code);
    return 0;
  }

  static int OnError(nghttp2_session*, int, const char* text, size_t size, void* p) {
    Self(p).last_error_.assign(text, size);
    return 0;
  }

  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* p) {
    if (frame->hd.type == NGHTTP2_DATA) Self(p).OnUsefulFrame();
    return 0;
  }

  static ssize_t OnWantBody(nghttp2_session*, int32_t id, uint8_t* buffer, size_t size, uint32_t* flags,
                            nghttp2_data_source*, void* p) {
    H2Stream* stream = Self(p).Find(id);
    if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;
    bool last = false;
    const size_t n = stream->OnWantBody({reinterpret_cast<char*>(buffer), size}, last);
    if (last) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (n == 0 && !last) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(n);
  }

  static const nghttp2_session_callbacks* Table() {
    static const CallbackTable table;
    static const bool filled = [] {
      nghttp2_session_callbacks* t = table.get();
      nghttp2_session_callbacks_set_on_frame_recv_callback(t, OnFrame);
      nghttp2_session_callbacks_set_on_begin_frame_callback(t, OnBeginFrame);
      nghttp2_session_callbacks_set_on_header_callback(t, OnHeader);
      nghttp2_session_callbacks_set_on_invalid_header_callback(t, OnInvalidHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(t, OnData);
      nghttp2_session_callbacks_set_on_stream_close_callback(t, OnClose);
      nghttp2_session_callbacks_set_on_frame_send_callback(t, OnFrameSent);
      nghttp2_session_callbacks_set_error_callback2(t, OnError);
      return true;
    }();
    static_cast<void>(filled);
    return table.get();
  }

  static const nghttp2_option* Options() {
    static const OptionTable options;
    static const bool filled = [] {
      nghttp2_option* o = options.get();
      // Windows open again by what callers take, not by what has come.
      nghttp2_option_set_no_auto_window_update(o, 1);
      nghttp2_option_set_max_send_header_block_length(o, kMaxRequestHead);
      // Of closed streams nothing is asked any more.
      nghttp2_option_set_no_closed_streams(o, 1);
      return true;
    }();
    static_cast<void>(filled);
    return options.get();
  }
};

H2Session::H2Session(const H2Options& options, Transport& transport, std::span<char> scratch, Executor executor,
                     const Clock& clock, TimerQueue& timers, Owner& owner)
    : options_(options),
      transport_(transport),
      scratch_(scratch),
      executor_(executor),
      reactor_(Reactor::Of(executor.context())),
      clock_(clock),
      owner_(owner),
      scope_(clock, timers, kNever, FailureCode::kInternal),
      wake_(executor),
      readable_(executor),
      timer_(timers, [this] { OnTimer(); }),
      now_(clock.Now()),
      last_read_(now_),
      allowance_(kMaxAllowance),
      allowance_at_(now_) {}

H2Session::~H2Session() = default;

void H2Session::Start() {
  nghttp2_session* session = nullptr;
  if (nghttp2_session_client_new2(&session, Callbacks::Table(), this, Callbacks::Options()) != 0) std::terminate();
  session_.reset(session);
  const std::array<nghttp2_settings_entry, 4> settings = {{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options_.stream_window},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(HttpLimits{}.max_head_bytes)},
  }};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(options_.connection_window));
  loops_ = 2;
  ArmTimer();
  Spawn(executor_, Write(*this), [this](std::exception_ptr error) {
    if (error) Die(FailureCode::kInternal, "writing threw");
    OnLoopEnded();
  });
  Spawn(executor_, Read(*this), [this](std::exception_ptr error) {
    if (error) Die(FailureCode::kInternal, "reading threw");
    OnLoopEnded();
  });
}

void H2Session::OnLoopEnded() {
  // The last one leaves a session that nobody runs any more.
  if (--loops_ == 0) owner_.OnSessionOver(*this);
}

size_t H2Session::capacity() const {
  if (!usable()) return 0;
  const size_t allowed =
      settled_ ? nghttp2_session_get_remote_settings(session_.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
               : kFirstStreams;
  return std::min<size_t>(allowed, options_.max_streams);
}

size_t H2Session::expected_capacity() const {
  if (!usable()) return 0;
  return settled_ ? capacity() : std::min<size_t>(kUsualCapacity, options_.max_streams);
}

Task<void> H2Session::Read(H2Session& self) {
  // From the loop, so that whoever made the session knows of it before anything happens.
  co_await Yield(self.executor_);
  size_t turn = 0;
  while (!self.failure_) {
    if (self.stalled_ > 0 && self.stalled_ == self.attached_) {
      co_await self.readable_.Wait(self.scope_);
      // A pause of ours is no silence of the origin.
      self.last_read_ = self.clock_.Now();
      if (!self.scope_.stopped()) continue;
    }
    IoResult r = co_await self.transport_.ReadSome(self.scratch_, self.scope_);
    if (self.failure_) break;
    if (!r.ok()) {
      switch (r.kind) {
        case IoResult::Kind::kEof:
          self.Die(FailureCode::kConnectionTerminated, "the origin closed the connection");
          break;
        case IoResult::Kind::kReset:
          self.Die(FailureCode::kConnectionTerminated, "the origin reset the connection");
          break;
        case IoResult::Kind::kTruncatedTls:
          self.Die(self.attached_ > 0 ? FailureCode::kTlsTruncated : FailureCode::kConnectionTerminated,
                   "the connection ended without TLS close_notify");
          break;
        default:
          self.Die(FailureCode::kConnectionTerminated, Concat("reading failed: ", r.ec.message()));
      }
      break;
    }
    self.Feed(self.scratch_.first(r.n));
    turn += r.n;
    if (turn < kMaxTurn) continue;
    turn = 0;
    co_await Yield(self.executor_);
  }
}

void H2Session::Feed(std::span<const char> bytes) {
  now_ = last_read_ = clock_.Now();
  ping_out_ = false;
  const ssize_t n =
      nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  PauseFed();
  reactor_.OnRead(std::exchange(most_fed_, 0));
  if (n < 0) {
    if (flooded_ || n == NGHTTP2_ERR_FLOODED || n == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
      Die(FailureCode::kHttp2Flood, "the origin sends too many frames that carry nothing");
    } else {
      Die(FailureCode::kHttp2ProtocolError,
          last_error_.empty() ? nghttp2_strerror(static_cast<int>(n)) : std::move(last_error_));
    }
    return;
  }
  idle_bytes_ += static_cast<int64_t>(bytes.size());
  if (idle_bytes_ > 4 * kMaxIdleBytes) return DieOfIdleBytes();
  if (nghttp2_session_want_write(session_.get()) != 0)
    Wake();
  else
    DieIfOver();
}

void H2Session::DieOfIdleBytes() { Die(FailureCode::kHttp2Flood, "the origin sends frames of unknown types"); }

void H2Session::DieIfOver() {
  if (failure_) return;
  if (nghttp2_session_want_read(session_.get()) != 0) {
    // Only now: after an offence nghttp2 passes over what follows, which is no flood.
    if (idle_bytes_ > kMaxIdleBytes) DieOfIdleBytes();
    return;
  }
  // nghttp2 has ended the connection over an offence, or the last stream of one that goes away has ended.
  if (attached_ > 0 || !(goaway_received_ || retired_))
    Die(FailureCode::kHttp2ProtocolError,
        last_error_.empty() ? "the origin broke the rules of HTTP/2" : std::move(last_error_));
  else
    Die(FailureCode::kConnectionTerminated, "the connection was done");
}

Task<void> H2Session::Write(H2Session& self) {
  co_await Yield(self.executor_);
  for (;;) {
    self.out_.clear();
    while (self.out_.size() < kMaxWrite) {
      const uint8_t* data = nullptr;
      const ssize_t n = nghttp2_session_mem_send(self.session_.get(), &data);
      if (n < 0) self.Die(FailureCode::kHttp2ProtocolError, nghttp2_strerror(static_cast<int>(n)));
      if (n <= 0) break;
      self.out_.append(View(data, static_cast<size_t>(n)));
    }
    if (self.out_.empty()) {
      self.DieIfOver();
      if (self.failure_) break;
      if (self.retired_ && self.attached_ == 0) {
        if (std::exchange(self.said_good_bye_, true)) {
          self.Die(FailureCode::kConnectionTerminated, "the connection was done");
        } else {
          nghttp2_session_terminate_session(self.session_.get(), NGHTTP2_NO_ERROR);
        }
        continue;
      }
      if (self.out_.capacity() > kIdleOut) std::string().swap(self.out_);
      co_await self.wake_.Wait(self.scope_);
      continue;
    }
    // Our last words, for which a peer that takes nothing gets little time.
    if (nghttp2_session_want_read(self.session_.get()) == 0) self.scope_.SetDeadline(self.clock_.Now() + kGoodBye);
    std::string_view left = self.out_;
    while (!left.empty()) {
      const std::array<asio::const_buffer, 1> buffers = {asio::const_buffer(left.data(), left.size())};
      IoResult r = co_await self.transport_.WriteSome(buffers, self.scope_);
      if (!r.ok()) {
        // No effect if it died of something else and this was the good-bye.
        self.Die(FailureCode::kConnectionTerminated, Concat("writing failed: ", r.ec.message()));
        self.transport_.Close();
        co_return;
      }
      left.remove_prefix(r.n);
    }
  }
  // The GOAWAY is out.
  self.transport_.Close();
}

void H2Session::Die(FailureCode code, std::string detail) {
  if (failure_) return;
  failure_ = Failure{.code = code,
                     .phase = Phase::kReceive,
                     .processed = Processed::kMaybe,
                     .detail = std::move(detail),
                     .reused_connection = false};
  timer_.Disarm();
  const uint32_t why = code == FailureCode::kHttp2Flood           ? NGHTTP2_ENHANCE_YOUR_CALM
                       : code == FailureCode::kHttp2ProtocolError ? NGHTTP2_PROTOCOL_ERROR
                                                                  : NGHTTP2_NO_ERROR;
  // Of no effect if nghttp2 has said so itself.
  nghttp2_session_terminate_session(session_.get(), why);
  auto slots = std::exchange(slots_, {});
  attached_ = stalled_ = 0;
  fed_ = nullptr;
  readable_.Set();
  // What never spoke HTTP/2 did not understand the requests either.
  wants_http1_ = wants_http1_ || (!settled_ && code == FailureCode::kHttp2ProtocolError);
  const H2StreamEnd end{.failure = failure_->code,
                        .unprocessed = !settled_ && code == FailureCode::kHttp2ProtocolError,
                        .detail = failure_->detail};
  for (auto& [id, slot] : slots)
    if (slot.stream != nullptr) slot.stream->OnEnd(end);
  owner_.OnSessionChanged(*this);
  // A peer that does not take our last words does not hold us up: what the socket takes at once is sent.
  scope_.SetDeadline(clock_.Now() + kGoodBye);
  // The reader is not to wait for more; the writer says good-bye and closes.
  if (code == FailureCode::kConnectionTerminated) transport_.Close();
  Wake();
}

void H2Session::PauseFed() {
  most_fed_ = std::max(most_fed_, std::exchange(fed_bytes_, 0));
  if (H2Stream* stream = std::exchange(fed_, nullptr)) stream->OnDataPause();
}

H2Stream* H2Session::Find(int32_t id) {
  const auto it = slots_.find(id);
  return it == slots_.end() ? nullptr : it->second.stream;
}

void H2Session::OnFrame(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      if (H2Stream* stream = Find(frame.hd.stream_id))
        stream->OnFields((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
      break;
    case NGHTTP2_DATA:
      if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
      if (H2Stream* stream = Find(frame.hd.stream_id)) stream->OnLast();
      break;
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) break;
      settled_ = true;
      owner_.OnSessionChanged(*this);
      break;
    case NGHTTP2_RST_STREAM:
      if (const auto it = slots_.find(frame.hd.stream_id); it != slots_.end())
        it->second.reset_by_peer = frame.rst_stream.error_code;
      break;
    case NGHTTP2_GOAWAY:
      if (std::exchange(goaway_received_, true)) break;
      last_error_ =
          Concat("the origin ended the connection: ", std::string(nghttp2_http2_strerror(frame.goaway.error_code)));
      owner_.OnSessionChanged(*this);
      Wake();
      break;
    default:
      break;
  }
}

void H2Session::OnStreamClosed(int32_t id, uint32_t code) {
  const auto it = slots_.find(id);
  if (it == slots_.end()) return;
  const Slot slot = it->second;
  // What the stream still holds of the body is consumed later.
  if (slot.held == 0) {
    slots_.erase(it);
  } else {
    it->second.stream = nullptr;
    it->second.ended = true;
  }
  if (slot.stream == nullptr) return;
  CountOut(slot);
  H2StreamEnd end;
  if (slot.reset_by_peer == NGHTTP2_HTTP_1_1_REQUIRED) {
    wants_http1_ = retired_ = true;
    end = {FailureCode::kHttpVersionNotAvailable, true, "the origin wants HTTP/1.1 for this"};
  } else if (slot.reset_by_peer == NGHTTP2_REFUSED_STREAM) {
    end = {FailureCode::kHttp2StreamRefused, true, "the origin refused the stream"};
  } else if (slot.reset_by_peer && *slot.reset_by_peer != NGHTTP2_NO_ERROR) {
    end = {FailureCode::kHttp2StreamReset, false,
           Concat("the origin reset the stream: ", std::string(nghttp2_http2_strerror(*slot.reset_by_peer)))};
  } else if (!slot.reset_by_peer && code == NGHTTP2_REFUSED_STREAM) {
    // RFC 9113 section 6.8: streams above the last id of a GOAWAY were not looked at.
    end = {FailureCode::kHttp2StreamRefused, true, "the origin ended the connection before it saw the request"};
  } else if (!slot.reset_by_peer && code != NGHTTP2_NO_ERROR) {
    end = {FailureCode::kHttp2ProtocolError, false,
           last_error_.empty() ? "the response breaks the rules of HTTP/2" : std::exchange(last_error_, {})};
  }
  slot.stream->OnEnd(end);
  EndIfDone();
  if (wants_http1_) owner_.OnSessionChanged(*this);
}

bool H2Session::CountFrame(const nghttp2_frame_hd& hd, size_t bytes) {
  // The last frame of a body may well be empty.
  const bool useful = hd.type == NGHTTP2_HEADERS ||
                      (hd.type == NGHTTP2_DATA && (bytes > 0 || (hd.flags & NGHTTP2_FLAG_END_STREAM) != 0));
  if (!useful) return CountIdleFrame(now_);
  OnUsefulFrame();
  return true;
}

bool H2Session::CountIdleFrame(Instant now) {
  if (now - allowance_at_ >= std::chrono::seconds(1)) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - allowance_at_).count();
    allowance_ = std::min(kMaxAllowance, allowance_ + kAllowancePerSecond * std::min<int64_t>(seconds, kMaxAllowance));
    allowance_at_ = now;
  }
  if (--allowance_ >= 0) return true;
  flooded_ = true;
  return false;
}

void H2Session::OnUsefulFrame() {
  idle_bytes_ = std::min<int64_t>(idle_bytes_, 0);
  allowance_ = std::min(kMaxAllowance, allowance_ + kAllowancePerFrame);
}

void H2Session::ArmTimer() {
  if (timer_.armed() || failure_) return;
  if (!settled_) {
    timer_.Arm(After(now_, options_.ping_timeout));
  } else if (attached_ > 0) {
    timer_.Arm(After(std::max(last_read_, clock_.Now() - options_.ping_after), options_.ping_after));
  }
}

void H2Session::OnTimer() {
  now_ = clock_.Now();
  if (!settled_) return Die(FailureCode::kHttp2ProtocolError, "the origin sent no SETTINGS");
  if (attached_ == 0) return;
  if (stalled_ == attached_) return timer_.Arm(After(now_, options_.ping_after));
  if (ping_out_) return Die(FailureCode::kConnectionTerminated, "the origin did not answer a PING");
  if (now_ - last_read_ < options_.ping_after) return timer_.Arm(After(last_read_, options_.ping_after));
  nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr);
  ping_out_ = true;
  timer_.Arm(After(now_, options_.ping_timeout));
  Wake();
}

void H2Session::Retire() {
  retired_ = true;
  EndIfDone();
}

void H2Session::EndIfDone() {
  if (!retired_ || attached_ > 0 || failure_) return;
  scope_.SetDeadline(clock_.Now() + kGoodBye);
  Wake();
}

void H2Session::Close() { Die(FailureCode::kConnectionTerminated, "fetchd closed the connection"); }

std::optional<int32_t> H2Session::Submit(std::span<const nghttp2_nv> fields, bool has_body, H2Stream& stream) {
  if (!usable()) return std::nullopt;
  nghttp2_data_provider body{.source = {}, .read_callback = Callbacks::OnWantBody};
  const int32_t id = nghttp2_submit_request(session_.get(), nullptr, fields.data(), fields.size(),
                                            has_body ? &body : nullptr, nullptr);
  if (id < 0) {
    // Stream ids have run out, or the like: this connection has served.
    Retire();
    return std::nullopt;
  }
  slots_[id].stream = &stream;
  ++attached_;
  readable_.Set();
  OnUsefulFrame();
  ArmTimer();
  Wake();
  return id;
}

void H2Session::Consume(int32_t id, size_t n) {
  const auto it = slots_.find(id);
  if (it != slots_.end()) {
    it->second.held -= std::min<uint64_t>(it->second.held, n);
    if (it->second.ended && it->second.held == 0) slots_.erase(it);
  }
  if (session_ == nullptr || n == 0) return;
  nghttp2_session_consume(session_.get(), id, n);
  if (nghttp2_session_want_write(session_.get()) != 0) Wake();
}

void H2Session::SetStalled(int32_t id, bool stalled) {
  const auto it = slots_.find(id);
  if (it == slots_.end() || it->second.stream == nullptr || it->second.stalled == stalled) return;
  it->second.stalled = stalled;
  if (stalled) {
    ++stalled_;
  } else {
    --stalled_;
    readable_.Set();
  }
}

void H2Session::CountOut(const Slot& slot) {
  if (fed_ == slot.stream) fed_ = nullptr;
  --attached_;
  if (slot.stalled) --stalled_;
  // The one that is left may be stalled, or not.
  readable_.Set();
}

void H2Session::Widen(int32_t id, uint32_t window) {
  nghttp2_session_set_local_window_size(session_.get(), NGHTTP2_FLAG_NONE, id, static_cast<int32_t>(window));
  Wake();
}

void H2Session::ResumeBody(int32_t id) {
  nghttp2_session_resume_data(session_.get(), id);
  Wake();
}

void H2Session::Detach(int32_t id, uint32_t code) {
  const auto it = slots_.find(id);
  if (it == slots_.end()) return;
  const Slot slot = it->second;
  slots_.erase(it);
  if (slot.held > 0) nghttp2_session_consume(session_.get(), id, slot.held);
  if (slot.stream != nullptr) {
    CountOut(slot);
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, code);
    // What is under way of its body is no flood, though nghttp2 does not tell of it.
    idle_bytes_ = std::max(idle_bytes_ - static_cast<int64_t>(options_.max_stream_window),
                           -static_cast<int64_t>(options_.connection_window));
    EndIfDone();
  }
  Wake();
}

}  // namespace fetchd::server
