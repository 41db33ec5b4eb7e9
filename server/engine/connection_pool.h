// Keep-alive connections of one engine thread.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "base/owner_thread.h"
#include "base/random.h"
#include "base/timer_queue.h"
#include "engine/origin_connections.h"
#include "engine/origin_state.h"
#include "http/exchange.h"
#include "http/h2_session.h"
#include "model/request.h"
#include "net/connector.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

// See fetchd.config.v1 for the keys. For each engine thread.
struct PoolOptions {
  // Connections of one origin, those being dialled included.
  size_t max_per_origin = 128;
  // Connections in all. When it is reached, the longest idle connection makes room.
  size_t max_total = 4096;
  // Fetches that may wait for a connection of one origin; one more gets kConnectionLimitReached.
  size_t max_queue = 1024;
  // An idle connection is closed after this.
  Duration idle_timeout = std::chrono::seconds(60);
  // No exchange begins on a connection older than this, less up to a tenth by chance, so that connections opened
  // together do not end together.
  Duration max_lifetime = std::chrono::minutes(10);
  // Exchanges on one connection. 0: no limit.
  int max_exchanges = 0;
  H2Options h2 = {};
};

class ConnectionPool;

// The right to run one exchange. RAII and pessimistic: the connection is closed when the lease ends, unless
// MarkReusable was called. Callers see an exchange, not a socket, so that a connection with many streams can stand
// behind it.
class Lease {
 public:
  Lease() = default;
  Lease(ConnectionPool& pool, std::unique_ptr<PooledConnection> connection);
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();

  // A stream of a connection that others use too.
  Lease(ConnectionPool& pool, PooledConnection& shared, bool reused);
  explicit operator bool() const { return connection_ != nullptr || shared_ != nullptr; }
  // The connection has served another exchange.
  bool reused() const { return reused_; }
  bool http2() const { return shared_ != nullptr; }
  // See RunExchange. At most once.
  Task<ExchangeResult> Exchange(const FetchSpec& spec, RequestBody* body, HeadJudge& judge, const HttpLimits& limits,
                                CancelScope& scope);
  // The exchange proved the connection clean.
  void MarkReusable(Instant now) { clean_at_ = now; }
  // The address it leads to.
  const Endpoint& peer() const { return (shared_ != nullptr ? shared_ : connection_.get())->transport->peer(); }

 private:
  void End();
  ConnectionPool* pool_ = nullptr;
  std::unique_ptr<PooledConnection> connection_;
  PooledConnection* shared_ = nullptr;
  bool reused_ = false;
  std::optional<Instant> clean_at_;
};

// Hands out connections: a stream of one that speaks HTTP/2 and has room, or the newest idle one, else one that comes
// back or is dialled meanwhile, to waiting fetches in the order in which they came. Belongs to its engine thread.
// Outlives its leases; stop it (Close) and let its dials end before destroying it.
//
// A fetch that finds no idle connection begins a dial if the limits allow, but takes whatever connection comes first;
// the dial's then goes to the next one waiting, or idle. A failed dial fails the fetch that began it, and only that
// one.
//
// Of an https origin it is known only after a handshake whether it speaks HTTP/2, so at first few dials are begun at
// once, and then no more than its streams make needful. More fetches than there are streams for wait here, where their
// timeouts hold, not within the session.
class ConnectionPool final : private H2Session::Owner {
 public:
  struct Request {
    OriginState& origin;
    // URL and timeouts (dns, connect, tls, attempt) count.
    const FetchSpec& spec;
    // Now, and until when a wait in the queue may last.
    Instant now;
    Instant wait_until = kNever;
    // Only a connection that has served nobody will do.
    bool fresh = false;
    // The attempt: its deadline is set to spec.timeouts.attempt from when the wait in the queue ends.
    CancelScope& scope;
  };
  // A lease or a failure.
  struct Result {
    Lease lease;
    // Processed is always kNo.
    std::optional<Failure> failure;
    // `queue`, and what the dial went through.
    PhaseTimes phases;
  };

  ConnectionPool(const PoolOptions& options, Executor executor, const Clock& clock, TimerQueue& timers, Random& random,
                 Connector& connector, OriginTable& origins, ThreadMetrics& metrics);
  ~ConnectionPool();

  Task<Result> Acquire(Request request);

  // Closes idle connections and lets none become idle any more; dials that nobody waits for are cancelled.
  void Close();
  // Called when a dial or an HTTP/2 connection has ended after Close.
  void OnLessToEnd(absl::AnyInvocable<void()> callback) { on_less_to_end_ = std::move(callback); }
  // Dials under way and HTTP/2 connections that are not over: the pool must not be destroyed before they are.
  size_t to_end() const { return dials_.size() + sessions_.size(); }
  size_t open() const { return total_; }

 private:
  friend class Lease;

  // Waits in the queue, with a dial begun if the limits allow.
  Task<Result> AwaitConnection(Request request, Instant began);
  Lease MakeLease(std::unique_ptr<PooledConnection> connection);
  // `clean_at`: when the exchange proved it clean; unset: it did not.
  void Return(std::unique_ptr<PooledConnection> connection, std::optional<Instant> clean_at);
  bool MayServeAgain(PooledConnection& connection, Instant now) const;

  std::unique_ptr<PooledConnection> TakeIdle(OriginState& origin, const Route& route, Instant now);
  // One of HTTP/2 with room, or null.
  PooledConnection* FindShared(OriginState& origin, const Route& route, Instant now);
  Lease MakeLease(PooledConnection& shared);
  // Counts the lease that is to be made.
  void TakeStream(PooledConnection& shared);
  void ReturnShared(PooledConnection& shared);
  void PutSharedIdle(PooledConnection& shared, Instant now);
  // Destroys it, if its session is over. Nobody leases it.
  void EndShared(PooledConnection& shared);
  // Takes it out of the origin's connections; it closes when its last lease is back.
  void Leave(PooledConnection& shared);
  void AddSession(OriginState& origin, std::unique_ptr<PooledConnection> connection);
  // Gives streams to those that wait, as far as there are any.
  void ServeShared(PooledConnection& shared, Instant now);
  // Closes an idle connection, of either kind.
  void CloseIdle(PooledConnection& idle);
  void OnSessionChanged(H2Session& session) override;
  void OnSessionOver(H2Session& session) override;
  // For how many more fetches there will be room by what is there and being dialled.
  size_t RoomToCome(const OriginState& origin, const Proxy* proxy) const;
  static void CountHttp2Dial(const Dial& dial, int change);
  bool MayBeHttp2(const OriginState& origin, const Route& route) const;
  std::unique_ptr<PooledConnection> TakeOut(PooledConnection& idle);
  void PutIdle(std::unique_ptr<PooledConnection> connection, Instant now);
  // Closes it; the caller then calls OnRoom.
  void CloseConnection(std::unique_ptr<PooledConnection> connection);
  void OnIdleTimer();

  // Makes dials for waiters that have none, as far as the limits allow.
  void Pump(OriginState& origin);
  // A connection of `origin` is gone, or idle.
  void OnRoom(OriginState& origin);
  bool MakeRoom(OriginState& origin);
  void StartDial(OriginState& origin, Waiter& waiter);
  static Task<void> RunDial(ConnectionPool& pool, std::unique_ptr<Dial> dial);
  void EndDial(Dial& dial, ConnectResult result);
  // The first one in the queue for whom it will do.
  static Waiter* FirstTakerOf(const PooledConnection& connection);
  // Takes the waiter off the queue with a connection.
  void Serve(Waiter& waiter, std::unique_ptr<PooledConnection> connection);
  void Serve(Waiter& waiter, PooledConnection& shared);
  // Takes the waiter off the queue, and leaves its dial to others.
  void TakeOff(Waiter& waiter);
  void Remove(Waiter& waiter);
  void SetDial(Waiter& waiter, Dial* dial);
  Task<void> Abandon(Waiter& waiter, FailureCode why);

  const PoolOptions options_;
  Executor executor_;
  const Clock& clock_;
  TimerQueue& timers_;
  Random& random_;
  Connector& connector_;
  OriginTable& origins_;
  ThreadMetrics& metrics_;
  AutoList<PooledConnection, &PooledConnection::in_pool> idle_;  // longest idle first
  AutoList<Dial, &Dial::in_pool> dials_;
  std::deque<Origin> starved_;  // by name, as they may be dropped meanwhile
  std::vector<ReadBuffer> spare_buffers_;
  // By session, until each is over.
  absl::flat_hash_map<H2Session*, std::unique_ptr<PooledConnection>> sessions_;
  std::vector<char> scratch_;
  size_t total_ = 0;
  bool closing_ = false;
  Timer idle_timer_;
  absl::AnyInvocable<void()> on_less_to_end_;
};

}  // namespace fetchd::server
