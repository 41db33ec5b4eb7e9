// An HTTP/2 session with a hostile origin: whatever comes, each fetch ends once, and nothing is left of any.
//
// Input: one byte of options, one that tells how to cut and what happens between the pieces, then what the origin
// sends.
#include <sanitizer/allocator_interface.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "http/h2_exchange.h"
#include "support/loop.h"
#include "support/memory_sink.h"
#include "support/scripted_transport.h"

namespace fetchd::server {
namespace {

using std::chrono::seconds;

constexpr uint32_t kWindow = 20'000;
// What a session with its fetches may hold beyond what the origin sent, bodies and heads included.
constexpr size_t kMostHeld = 4 * 1024 * 1024;

// One fetch: a GET, one with a body, or one with a streamed body.
class Fetch final : public HeadJudge {
 public:
  enum class Kind { kGet, kBody, kStreamed };

  Fetch(Loop& loop, Kind kind, uint64_t credit)
      : sink_(loop.executor()),
        scope_(loop.clock(), loop.timers(), kNever, FailureCode::kTotalTimeout),
        streamed_(loop.executor(), std::nullopt) {
    spec_.url = *Url::Parse("https://a.test/path?q=1");
    spec_.headers.Add("x-one", "1");
    spec_.headers.Add("authorization", "secret", true);
    sink_.SetCredit(credit);
    if (kind == Kind::kGet) return;
    spec_.method = "POST";
    if (kind == Kind::kBody) {
      spec_.body.assign(100'000, 'b');
    } else {
      is_streamed_ = true;
      streamed_.Feed(std::string(1000, 's'));
    }
  }
  ResponseSink& OnHead(const ResponseHead& head) override {
    Require(head.status >= 200 && head.status <= 599, "a final status");
    Require(++judged_ == 1, "one final head for each fetch");
    return sink_;
  }

  void Start(H2Session& session, Loop& loop, const HttpLimits& limits) {
    ExchangeRequest request{
        .spec = spec_, .body = is_streamed_ ? &streamed_ : nullptr, .judge = *this, .limits = limits};
    Spawn(loop.executor(), Run(*this, session, loop.executor(), request),
          [](std::exception_ptr error) { Require(error == nullptr, "nothing throws"); });
  }
  void Cancel() { scope_.Cancel(FailureCode::kCancelled); }
  void Go(size_t bytes) {
    sink_.GiveCredit(bytes);
    if (is_streamed_ && !fed_) streamed_.Feed(std::string(bytes % 3000, 's'));
  }
  void Finish() {
    sink_.GiveCredit(UINT32_MAX);
    if (!std::exchange(fed_, true)) streamed_.End();
  }
  bool over() const { return ends_ == 1; }

 private:
  static Task<void> Run(Fetch& self, H2Session& session, Executor executor, ExchangeRequest request) {
    ExchangeResult result = co_await RunH2Exchange(session, std::move(executor), request, self.scope_);
    Require(++self.ends_ == 1, "each fetch ends once");
    if (!result.failure) Require(self.sink_.heads() == 1, "a response has a head");
    if (result.failure) Require(!result.failure->detail.empty(), "a failure has a reason");
    Require(result.response_bytes == self.sink_.body().size(), "bytes are counted");
    const auto length = self.sink_.head().content_length;
    if (!result.failure && length) Require(*length == self.sink_.body().size(), "a whole body has its length");
  }

  FetchSpec spec_;
  MemorySink sink_;
  CancelScope scope_;
  MemoryRequestBody streamed_;
  bool is_streamed_ = false;
  bool fed_ = false;
  int judged_ = 0;
  int ends_ = 0;
};

class Run final : public H2Session::Owner {
 public:
  Run(Loop& loop, FakeClock& clock, uint8_t options, Dice dice)
      : loop_(loop), clock_(clock), options_(options), dice_(dice) {}

  void Go(std::string_view input) {
    // The origin may take little of what we send, or nothing after a while.
    if ((options_ & 1) != 0) peer_->LimitWrites(1 + dice_.Below(200));
    if ((options_ & 2) != 0) peer_->BlockWritesAfter(dice_.Below(4000));
    session_.Start();
    const uint64_t credit = (options_ & 4) != 0 ? dice_.Below(5000) : UINT32_MAX;
    StartFetch(Fetch::Kind::kGet, credit);
    StartFetch(Fetch::Kind::kBody, credit);
    loop_.Poll();
    StartFetch(Fetch::Kind::kStreamed, credit);
    const size_t sent = input.size();
    while (!input.empty()) {
      const size_t n = std::min(dice_.Piece(), input.size());
      peer_->Send(std::string(input.substr(0, n)));
      input.remove_prefix(n);
      loop_.Poll();
      if ((options_ & 8) != 0) Disturb();
    }
    Require(__sanitizer_get_current_allocated_bytes() < before_ + kMostHeld + 4 * sent, "what is held is bounded");
    if ((options_ & 16) != 0) peer_->End((options_ & 32) != 0 ? IoResult::Kind::kReset : IoResult::Kind::kEof);
    for (auto& fetch : fetches_) fetch->Finish();
    loop_.Poll();
    // Phases have timeouts of 10 s, and none begins more than a few.
    for (int i = 0; i < 60 && !AllOver(); ++i) loop_.Advance(seconds(1));
    Require(AllOver(), "each fetch ends");
    Require(session_.streams() == 0, "no stream is left");
    session_.Retire();
    loop_.Poll();
    loop_.Advance(seconds(1));
    Require(over_, "a retired session ends");
    Require(peer_->closed(), "a session that is over has closed its connection");
  }

  void OnSessionChanged(H2Session& session) override {
    Require(session.usable() || session.capacity() == 0, "no capacity without use");
  }
  void OnSessionOver(H2Session&) override {
    Require(!over_, "a session ends once");
    over_ = true;
  }

 private:
  void StartFetch(Fetch::Kind kind, uint64_t credit) {
    fetches_.push_back(std::make_unique<Fetch>(loop_, kind, credit));
    fetches_.back()->Start(session_, loop_, limits_);
  }
  bool AllOver() const {
    return std::all_of(fetches_.begin(), fetches_.end(), [](const auto& fetch) { return fetch->over(); });
  }
  void Disturb() {
    Fetch& fetch = *fetches_[dice_.Below(static_cast<uint32_t>(fetches_.size()))];
    switch (dice_.Below(12)) {
      case 0:
        return fetch.Cancel();
      case 1:
      case 2:
      case 3:
        return fetch.Go(dice_.Below(30'000));
      case 4:
        return loop_.Advance(seconds(dice_.Below(6)));
      case 5:
        if (fetches_.size() < 6) StartFetch(static_cast<Fetch::Kind>(dice_.Below(3)), UINT32_MAX);
        return;
      case 6:
        return peer_->AllowWrites();
      case 7:
        if (dice_.Below(8) == 0) session_.Retire();
        return;
      case 8:
        if (dice_.Below(8) == 0) session_.Close();
        return;
      default:
        return;
    }
  }

  const size_t before_ = __sanitizer_get_current_allocated_bytes();
  Loop& loop_;
  FakeClock& clock_;
  const uint8_t options_;
  Dice dice_;
  const HttpLimits limits_;
  std::vector<char> scratch_ = std::vector<char>(16 * 1024);
  std::shared_ptr<ScriptedPeer> peer_ = std::make_shared<ScriptedPeer>(loop_.executor());
  ScriptedTransport transport_{peer_};
  std::vector<std::unique_ptr<Fetch>> fetches_;
  bool over_ = false;
  H2Session session_{
      {.max_streams = 5, .stream_window = kWindow, .max_stream_window = 4 * kWindow, .connection_window = 8 * kWindow},
      transport_,
      scratch_,
      loop_.executor(),
      clock_,
      loop_.timers(),
      *this};
};

void Try(std::string_view input) {
  // One loop for all inputs: what one leaves behind is seen here, or by the next.
  static FakeClock clock;
  static Loop loop(clock);
  const uint8_t options = TakeByte(input);
  const uint8_t seed = TakeByte(input);
  {
    Run run(loop, clock, options, Dice(seed));
    run.Go(input);
  }
  loop.Poll();
  Require(loop.timers().armed() == 0, "no timer is left");
}

// --- Mutations that keep frames whole

constexpr size_t kOptionBytes = 2;
constexpr size_t kFrameHead = 9;

struct Frame {
  std::string head;  // without its length
  std::string payload;
};

std::vector<Frame> Split(std::string_view bytes) {
  std::vector<Frame> frames;
  while (bytes.size() >= kFrameHead) {
    const auto at = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(bytes[i])); };
    const size_t size = std::min(at(0) << 16 | at(1) << 8 | at(2), bytes.size() - kFrameHead);
    frames.push_back({std::string(bytes.substr(3, 6)), std::string(bytes.substr(kFrameHead, size))});
    bytes.remove_prefix(kFrameHead + size);
  }
  return frames;
}

std::string Join(std::string_view options, const std::vector<Frame>& frames) {
  std::string bytes(options);
  for (const Frame& frame : frames) {
    for (int shift = 16; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(frame.payload.size() >> shift));
    bytes += frame.head + frame.payload;
  }
  return bytes;
}

}  // namespace
}  // namespace fetchd::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fetchd::server::Try(fetchd::server::Text(data, size));
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Most mutations of raw bytes only break the first frame's length; these go behind it.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  using fetchd::server::kFrameHead;
  using fetchd::server::kOptionBytes;
  fetchd::server::Dice dice(static_cast<uint8_t>(seed ^ (seed >> 8)));
  for (unsigned i = seed % 61; i > 0; --i) dice.Below(2);
  if (size < kOptionBytes + kFrameHead || dice.Below(6) == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::string options(fetchd::server::Text(data, kOptionBytes));
  auto frames = fetchd::server::Split(fetchd::server::Text(data + kOptionBytes, size - kOptionBytes));
  const size_t i = dice.Below(static_cast<uint32_t>(frames.size()));
  fetchd::server::Frame& frame = frames[i];
  const auto mutate = [](std::string& bytes, size_t most) {
    const size_t used = bytes.size();
    bytes.resize(most);
    bytes.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(bytes.data()), used, most));
  };
  switch (dice.Below(8)) {
    case 0:
      frame.head[0] = static_cast<char>(dice.Below(11));
      break;
    case 1:
      frame.head[1] = static_cast<char>(frame.head[1] ^ (1 << dice.Below(8)));
      break;
    case 2:
      frame.head[5] = static_cast<char>(dice.Below(12));
      break;
    case 3:
      frames.insert(frames.begin() + static_cast<ptrdiff_t>(dice.Below(static_cast<uint32_t>(frames.size() + 1))),
                    fetchd::server::Frame(frame));
      break;
    case 4:
      if (frames.size() > 1) frames.erase(frames.begin() + static_cast<ptrdiff_t>(i));
      break;
    case 5:
      std::swap(frame, frames[dice.Below(static_cast<uint32_t>(frames.size()))]);
      break;
    case 6:
      mutate(frame.head, frame.head.size());
      frame.head.resize(6);
      break;
    default:
      mutate(frame.payload, std::min(max_size, frame.payload.size() + 64));
      break;
  }
  const std::string bytes = fetchd::server::Join(options, frames);
  const size_t n = std::min(bytes.size(), max_size);
  std::copy_n(bytes.begin(), n, data);
  return n;
}
