// A FetchStarter that answers by the URL, without a network.
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "base/text.h"
#include "base/timer_queue.h"
#include "fetch/fetch_starter.h"

namespace fetchd::server {

// Byte `i` of every body it sends.
inline char BodyByte(uint64_t i) { return static_cast<char>('a' + i % 23); }

// The path says what is answered:
//   /ok/N        200 with N bytes, in pieces as the sink gives credit
//   /hang        a head never comes: ends when cancelled, or at the deadline with kTotalTimeout
//   /half/N      200 with N bytes, then hangs
//   /refused     kConnectionRefused
//   /broken      kInternal
//   /large       a head, then kHttpResponseBodySize
//   /echo        200 with the request body, streamed or not; kHttpRequestBodySize if it was broken off
//   /sum         reads the whole request body; 200 with its length in decimal
// A trace, if wanted, has one attempt and the decision "policy", "applied". Fetches run on the thread of `owner`.
// Thread-safe.
class FakeOrigin final : public FetchStarter {
 public:
  explicit FakeOrigin(asio::io_context& owner) : owner_(owner) {}

  absl::Status CheckUrl(const Url& url) const override {
    if (url.host() == "10.0.0.1") return absl::PermissionDeniedError("10.0.0.1 is a private address");
    return absl::OkStatus();
  }

  void Start(std::shared_ptr<FetchCall> call) override {
    ++started;
    const int now = ++in_flight;
    for (int before = most_in_flight; before < now && !most_in_flight.compare_exchange_weak(before, now);) {
    }
    asio::post(owner_, [this, call = std::move(call)] {
      auto running = std::make_shared<Running>(*this, call);
      running_[call.get()] = running;
      Spawn(owner_.get_executor(), Serve(running), [this, running](std::exception_ptr error) {
        if (error) std::rethrow_exception(error);
        running_.erase(running->call.get());
      });
    });
  }

  void Cancel(const std::shared_ptr<FetchCall>& call) override {
    asio::post(owner_, [this, call] {
      const auto it = running_.find(call.get());
      if (it != running_.end()) it->second->scope.Cancel(FailureCode::kCancelled);
    });
  }

  std::atomic<int> started = 0, in_flight = 0, most_in_flight = 0, cancelled = 0;
  // Streamed request bodies that /sum saw whole, or any saw broken off.
  std::atomic<int> whole_uploads = 0, broken_uploads = 0;
  // Body bytes sent, and how often a sink gave no credit.
  std::atomic<uint64_t> sent = 0;
  std::atomic<int> starved = 0;

 private:
  struct Running {
    Running(FakeOrigin& o, std::shared_ptr<FetchCall> c)
        : call(std::move(c)),
          scope(SystemClock(), timers, kNever, FailureCode::kInternal),
          event(o.owner_.get_executor()),
          timer(o.owner_) {
      if (call->spec.deadline == kNever) return;
      timer.expires_at(call->spec.deadline);
      timer.async_wait([this](boost::system::error_code error) {
        if (!error) scope.Cancel(FailureCode::kTotalTimeout);
      });
    }
    std::shared_ptr<FetchCall> call;
    TimerQueue timers;
    CancelScope scope;
    Event event;
    asio::steady_timer timer;
  };

  Task<void> Serve(std::shared_ptr<Running> running) {
    running->call->OnStart(owner_.get_executor());
    Outcome outcome;
    outcome.attempts = 1;
    if (running->call->spec.explain != Explain::kNone) {
      outcome.trace = std::make_unique<Trace>(Instant{}, running->call->spec.explain);
      outcome.trace->attempts.emplace_back().number = 1;
      outcome.trace->Decide(Instant{}, 1, "policy", "applied");
    }
    co_await Answer(*running, outcome);
    running->timer.cancel();
    if (outcome.failure && outcome.failure->code == FailureCode::kCancelled) ++cancelled;
    --in_flight;
    running->call->OnDone(std::move(outcome));
  }

  static void Fail(Outcome& outcome, FailureCode code) {
    outcome.failure = Failure{code, Phase::kWait, Processed::kMaybe, "as the test wants it"};
  }

  static void Head(FetchCall& call, std::optional<uint64_t> length) {
    ResponseHead head;
    head.status = 200;
    head.headers.Add("x-origin", "fake");
    head.content_length = length;
    call.OnHead(std::move(head));
  }

  Task<bool> Send(Running& r, std::string_view bytes) {
    while (!bytes.empty()) {
      if (r.scope.stopped()) co_return false;
      const std::span<char> room = r.call->Prepare(std::min<size_t>(bytes.size(), 64 * 1024));
      if (room.empty()) {
        ++starved;
        if (!co_await r.call->Writable().Wait(r.scope)) co_return false;
        continue;
      }
      const size_t n = std::min(room.size(), bytes.size());
      std::copy_n(bytes.data(), n, room.data());
      r.call->Commit(n);
      sent += n;
      bytes.remove_prefix(n);
      // As a network would, let others run.
      co_await Yield(owner_.get_executor());
    }
    co_return true;
  }

  Task<bool> SendBody(Running& r, uint64_t size) {
    std::string piece;
    for (uint64_t at = 0; at < size; at += piece.size()) {
      piece.resize(std::min<uint64_t>(size - at, 64 * 1024));
      for (size_t i = 0; i < piece.size(); ++i) piece[i] = BodyByte(at + i);
      if (!co_await Send(r, piece)) co_return false;
    }
    co_return true;
  }

  Task<void> Answer(Running& r, Outcome& outcome) {
    const std::string_view target = r.call->spec.url.target();
    const std::string path(target.substr(0, target.find('?')));
    const auto number = [&path] { return ParseDecimal<uint64_t>(path.substr(path.rfind('/') + 1)).value_or(0); };
    if (path.starts_with("/ok/")) {
      Head(*r.call, number());
      if (co_await SendBody(r, number())) co_return;
    } else if (path.starts_with("/half/")) {
      Head(*r.call, std::nullopt);
      if (co_await SendBody(r, number())) co_await r.event.Wait(r.scope);
    } else if (path == "/refused") {
      co_return Fail(outcome, FailureCode::kConnectionRefused);
    } else if (path == "/broken") {
      co_return Fail(outcome, FailureCode::kInternal);
    } else if (path == "/large") {
      Head(*r.call, 1 << 30);
      co_await Send(r, "some of it");
      co_return Fail(outcome, FailureCode::kHttpResponseBodySize);
    } else if (path == "/echo" || path == "/sum") {
      if (co_await Echo(r, path == "/sum", outcome)) co_return;
    } else {
      co_await r.event.Wait(r.scope);
    }
    Fail(outcome, r.scope.reason());
  }

  // True if `outcome` is set.
  Task<bool> Echo(Running& r, bool sum, Outcome& outcome) {
    RequestBody* const body = r.call->request_body();
    if (!sum) Head(*r.call, std::nullopt);
    uint64_t length = r.call->spec.body.size();
    if (body == nullptr && !sum && !co_await Send(r, r.call->spec.body)) co_return false;
    while (body != nullptr) {
      std::string_view piece;
      const RequestBody::State state = body->Peek(piece);
      if (state == RequestBody::State::kEnd) break;
      if (state == RequestBody::State::kFailed) {
        ++broken_uploads;
        Fail(outcome, FailureCode::kHttpRequestBodySize);
        co_return true;
      }
      if (state == RequestBody::State::kWait) {
        if (!co_await body->Readable().Wait(r.scope)) co_return false;
        continue;
      }
      const size_t n = std::min<size_t>(piece.size(), 10'000);
      if (!sum && !co_await Send(r, piece.substr(0, n))) co_return false;
      length += n;
      body->Consume(n);
    }
    if (!sum) co_return true;
    ++whole_uploads;
    Head(*r.call, std::nullopt);
    co_return co_await Send(r, std::to_string(length));
  }

  asio::io_context& owner_;
  // Of the owner's thread.
  std::unordered_map<FetchCall*, std::shared_ptr<Running>> running_;
};

}  // namespace fetchd::server
