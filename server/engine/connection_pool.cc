#include "engine/connection_pool.h"

#include <cassert>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

// Buffers kept for the next connection in use.
constexpr size_t kSpareBuffers = 64;

Waiter* FirstTakerOf(OriginState& origin, bool used_connection) {
  for (Waiter& waiter : origin.connections.waiters)
    if (!used_connection || !waiter.fresh) return &waiter;
  return nullptr;
}

}  // namespace

Lease::Lease(ConnectionPool& pool, std::unique_ptr<PooledConnection> connection)
    : pool_(&pool), connection_(std::move(connection)) {}

Lease::Lease(Lease&& other) noexcept
    : pool_(other.pool_),
      connection_(std::move(other.connection_)),
      clean_at_(std::exchange(other.clean_at_, std::nullopt)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  End();
  pool_ = other.pool_;
  connection_ = std::move(other.connection_);
  clean_at_ = std::exchange(other.clean_at_, std::nullopt);
  return *this;
}

Lease::~Lease() { End(); }

void Lease::End() {
  if (connection_ != nullptr) pool_->Return(std::move(connection_), std::exchange(clean_at_, std::nullopt));
}

Task<ExchangeResult> Lease::Exchange(const FetchSpec& spec, RequestBody* body, HeadJudge& judge,
                                     const HttpLimits& limits, CancelScope& scope) {
  return RunExchange(*connection_->transport, connection_->buffer, pool_->executor_,
                     {.spec = spec, .body = body, .judge = judge, .limits = limits, .reused_connection = reused()},
                     scope);
}

ConnectionPool::ConnectionPool(const PoolOptions& options, Executor executor, const Clock& clock, TimerQueue& timers,
                               Random& random, Connector& connector, OriginTable& origins, ThreadMetrics& metrics)
    : options_(options),
      executor_(std::move(executor)),
      clock_(clock),
      timers_(timers),
      random_(random),
      connector_(connector),
      origins_(origins),
      metrics_(metrics),
      idle_timer_(timers, [this] { OnIdleTimer(); }) {}

ConnectionPool::~ConnectionPool() {
  while (!idle_.empty()) CloseConnection(TakeOut(idle_.front()));
}

Task<ConnectionPool::Result> ConnectionPool::Acquire(Request request) {
  const Instant began = request.now;
  if (!request.fresh) {
    if (auto connection = TakeIdle(request.origin, began)) {
      request.scope.SetDeadline(After(began, request.spec.timeouts.attempt));
      Result result;
      result.lease = MakeLease(std::move(connection));
      return result;
    }
  }
  return AwaitConnection(request, began);
}

Task<ConnectionPool::Result> ConnectionPool::AwaitConnection(Request request, Instant began) {
  OriginState& origin = request.origin;
  const Timeouts& timeouts = request.spec.timeouts;
  Result result;
  CancelScope wait(request.scope, kNever, FailureCode::kQueueTimeout);
  Waiter waiter(origin, executor_);
  waiter.target = ConnectTarget{origin.origin, request.spec.url.host_address(), timeouts, {}};
  waiter.fresh = request.fresh;
  waiter.attempt = &request.scope;
  waiter.wait = &wait;
  origin.connections.waiters.push_back(waiter);
  ++origin.connections.queued;
  metrics_.queue_waiting.Add(1);
  waiter.wait_until = request.wait_until;
  wait.SetDeadline(request.wait_until);
  Pump(origin);

  if (waiter.dial == nullptr && origin.connections.queued > options_.max_queue) {
    Remove(waiter);
    result.failure = Failure{.code = FailureCode::kConnectionLimitReached,
                             .phase = Phase::kQueue,
                             .processed = Processed::kNo,
                             .detail = absl::StrCat(options_.max_queue, " fetches wait for a connection already")};
    co_return result;
  }

  while (waiter.connection == nullptr && !waiter.failure) {
    bool woken = co_await waiter.event.Wait(wait);
    if (!woken && waiter.connection == nullptr && !waiter.failure) co_await Abandon(waiter, wait.reason());
  }

  result.phases = waiter.phases;
  const Instant left_queue = waiter.own_dial ? waiter.dial_began : clock_.Now();
  result.phases.queue = left_queue - began;
  if (waiter.failure) {
    result.failure = std::move(waiter.failure);
    co_return result;
  }
  if (!waiter.own_dial) request.scope.SetDeadline(After(left_queue, timeouts.attempt));
  result.lease = MakeLease(std::move(waiter.connection));
  co_return result;
}

Task<void> ConnectionPool::Abandon(Waiter& waiter, FailureCode why) {
  Dial* dial = waiter.dial;
  if (dial == nullptr) {
    Remove(waiter);
    waiter.failure = Failure{.code = why,
                             .phase = Phase::kQueue,
                             .processed = Processed::kNo,
                             .detail = "no connection to the origin became free"};
    co_return;
  }
  // The dial tells in which phase the fetch was. Nothing of a stopped fetch goes on without it.
  waiter.abandoned = true;
  waiter.in_origin.unlink();
  dial->scope.Cancel(why);
  CancelScope unstoppable(clock_, timers_, kNever, FailureCode::kInternal);
  while (waiter.dial != nullptr) co_await waiter.event.Wait(unstoppable);
  if (!waiter.failure)
    waiter.failure = Failure{.code = why, .phase = Phase::kConnect, .processed = Processed::kNo, .detail = "stopped"};
  waiter.failure->code = why;
}

Lease ConnectionPool::MakeLease(std::unique_ptr<PooledConnection> connection) {
  if (++connection->exchanges > 1) metrics_.connections_reused.Add(1);
  metrics_.leases.Add(1);
  metrics_.connections_active.Add(1);
  if (connection->buffer.capacity() == 0 && !spare_buffers_.empty()) {
    connection->buffer = std::move(spare_buffers_.back());
    spare_buffers_.pop_back();
  }
  return Lease(*this, std::move(connection));
}

void ConnectionPool::Return(std::unique_ptr<PooledConnection> connection, std::optional<Instant> clean_at) {
  metrics_.leases.Add(-1);
  metrics_.connections_active.Add(-1);
  OriginState& origin = connection->origin;
  if (!clean_at || !MayServeAgain(*connection, *clean_at)) {
    CloseConnection(std::move(connection));
    OnRoom(origin);
    return;
  }
  if (Waiter* waiter = FirstTakerOf(origin, true); waiter != nullptr && connection->transport->LooksAlive()) {
    Serve(*waiter, std::move(connection));
    return;
  }
  PutIdle(std::move(connection), *clean_at);
}

bool ConnectionPool::MayServeAgain(PooledConnection& connection, Instant now) const {
  return !closing_ && now < connection.expires &&
         (options_.max_exchanges == 0 || connection.exchanges < options_.max_exchanges);
}

std::unique_ptr<PooledConnection> ConnectionPool::TakeIdle(OriginState& origin, Instant now) {
  auto& idle = origin.connections.idle;
  while (!idle.empty()) {
    std::unique_ptr<PooledConnection> connection = TakeOut(idle.back());
    // The timer may be a moment late, so what it would close is not handed out.
    if (MayServeAgain(*connection, now) && !origin.brain.outliers.Ejected(connection->transport->peer().address, now) &&
        now < After(connection->idle_since, options_.idle_timeout) && connection->transport->LooksAlive())
      return connection;
    CloseConnection(std::move(connection));
  }
  return nullptr;
}

std::unique_ptr<PooledConnection> ConnectionPool::TakeOut(PooledConnection& idle) {
  idle.in_origin.unlink();
  idle.in_pool.unlink();
  metrics_.connections_idle.Add(-1);
  return std::unique_ptr<PooledConnection>(&idle);
}

void ConnectionPool::PutIdle(std::unique_ptr<PooledConnection> connection, Instant now) {
  if (connection->buffer.capacity() == ReadBuffer::kInitial && spare_buffers_.size() < kSpareBuffers)
    spare_buffers_.push_back(std::move(connection->buffer));
  connection->buffer.Release();
  connection->idle_since = now;
  if (!idle_timer_.armed()) idle_timer_.Arm(After(connection->idle_since, options_.idle_timeout));
  metrics_.connections_idle.Add(1);
  OriginState& origin = connection->origin;
  idle_.push_back(*connection);
  origin.connections.idle.push_back(*connection.release());
  // Idle here may be room elsewhere.
  if (!starved_.empty()) OnRoom(origin);
}

void ConnectionPool::CloseConnection(std::unique_ptr<PooledConnection> connection) {
  --total_;
  OriginState& origin = connection->origin;
  connection->transport->Close();
  connection.reset();
  --origin.connections.open;
}

void ConnectionPool::OnIdleTimer() {
  Instant now = clock_.Now();
  while (!idle_.empty()) {
    Instant at = After(idle_.front().idle_since, options_.idle_timeout);
    if (at > now) {
      idle_timer_.Arm(at);
      return;
    }
    OriginState& origin = idle_.front().origin;
    CloseConnection(TakeOut(idle_.front()));
    OnRoom(origin);
  }
}

void ConnectionPool::OnRoom(OriginState& origin) {
  // Making room for one origin may close the last connection of another.
  OriginRef keep(origins_, origin);
  // Those that waited for room come first; else a busy origin would keep what it has.
  while (!starved_.empty() && (total_ < options_.max_total || !idle_.empty())) {
    OriginRef next(origins_, origins_.Get(starved_.front()));
    starved_.pop_front();
    next->connections.starved = false;
    Pump(*next);
  }
  Pump(origin);
}

void ConnectionPool::Pump(OriginState& origin) {
  OriginConnections& connections = origin.connections;
  size_t coming = connections.orphan_dials;
  for (Waiter& waiter : connections.waiters) {
    if (waiter.dial != nullptr) continue;
    if (coming > 0) {
      --coming;
      continue;
    }
    if (!MakeRoom(origin)) return;
    StartDial(origin, waiter);
  }
}

bool ConnectionPool::MakeRoom(OriginState& origin) {
  OriginConnections& connections = origin.connections;
  if (connections.open >= options_.max_per_origin) {
    // Idle ones beside a waiter: it wants a fresh one.
    if (connections.idle.empty()) return false;
    CloseConnection(TakeOut(connections.idle.front()));
    return true;
  }
  if (total_ < options_.max_total) return true;
  if (!idle_.empty()) {
    OriginState& victim = idle_.front().origin;
    CloseConnection(TakeOut(idle_.front()));
    if (&victim != &origin) origins_.OnLessUse(victim);
    return true;
  }
  if (!connections.starved) {
    connections.starved = true;
    starved_.push_back(origin.origin);
  }
  return false;
}

void ConnectionPool::StartDial(OriginState& origin, Waiter& waiter) {
  auto dial = std::make_unique<Dial>(origin, clock_, timers_);
  dial->target = waiter.target;
  dial->target.leave_out = [this, &origin](std::vector<IpAddress>& addresses) {
    origin.brain.outliers.Filter(addresses, clock_.Now());
  };
  dial->starter = &waiter;
  dial->began = clock_.Now();
  ++origin.connections.open;
  ++total_;
  dials_.push_back(*dial);
  SetDial(waiter, dial.get());
  // Out of the queue: from here on the attempt's and the dial's own timeouts count.
  waiter.wait->SetDeadline(kNever);
  waiter.attempt->SetDeadline(After(dial->began, waiter.target.timeouts.attempt));
  Spawn(executor_, RunDial(*this, std::move(dial)), [](std::exception_ptr) {});
}

Task<void> ConnectionPool::RunDial(ConnectionPool& pool, std::unique_ptr<Dial> dial) {
  // From the loop, not from within Pump: a dial that ends at once changes the list of waiters.
  co_await Yield(pool.executor_);
  ConnectResult result;
  try {
    result = co_await pool.connector_.Connect(dial->target, dial->scope);
  } catch (...) {
    // A bug. Whoever waits for this dial must hear of its end all the same.
    result = ConnectResult{};
    result.failure = Failure{.code = FailureCode::kInternal,
                             .phase = Phase::kConnect,
                             .processed = Processed::kNo,
                             .detail = "opening the connection threw"};
  }
  pool.EndDial(*dial, std::move(result));
  dial.reset();
  if (pool.closing_ && pool.on_dial_ended_) pool.on_dial_ended_();
}

void ConnectionPool::EndDial(Dial& dial, ConnectResult result) {
  OriginState& origin = dial.origin;
  dial.in_pool.unlink();
  Waiter* starter = dial.starter;
  if (starter == nullptr) --origin.connections.orphan_dials;
  for (const IpAddress& address : result.failed) origin.brain.OnResult(address, false, clock_.Now());

  if (!result.ok()) {
    --origin.connections.open;
    --total_;
    if (starter != nullptr) {
      starter->failure = std::move(result.failure);
      starter->phases = result.phases;
      starter->own_dial = true;
      starter->dial_began = dial.began;
      if (starter->abandoned) {
        starter->dial = nullptr;
      } else {
        SetDial(*starter, nullptr);
        Remove(*starter);
      }
      starter->event.Set();
    }
    OnRoom(origin);
    return;
  }

  metrics_.connections_opened.Add(1);
  auto connection = std::make_unique<PooledConnection>(origin, std::move(result.transport));
  Duration lifetime = options_.max_lifetime;
  if (lifetime != kForever)
    lifetime -= Duration(static_cast<Duration::rep>(random_.NextDouble() * static_cast<double>(lifetime.count()) / 10));
  connection->expires = After(clock_.Now(), lifetime);
  if (starter != nullptr && starter->abandoned) {
    starter->dial = nullptr;
    starter->event.Set();
    starter = nullptr;
  }
  Waiter* first = FirstTakerOf(origin, false);
  if (starter != nullptr && first != starter) {
    // An earlier one takes it; its own dial, if it has one, will serve the starter.
    SetDial(*starter, nullptr);
    starter->wait->SetDeadline(starter->wait_until);
  }
  if (first == nullptr) {
    if (const Instant now = clock_.Now(); MayServeAgain(*connection, now)) {
      PutIdle(std::move(connection), now);
    } else {
      CloseConnection(std::move(connection));
      OnRoom(origin);
    }
    return;
  }
  if (first == starter) {
    starter->own_dial = true;
    starter->dial_began = dial.began;
    starter->phases = result.phases;
    SetDial(*starter, nullptr);
  }
  Serve(*first, std::move(connection));
  Pump(origin);
}

void ConnectionPool::Serve(Waiter& waiter, std::unique_ptr<PooledConnection> connection) {
  if (waiter.dial != nullptr) {
    waiter.dial->starter = nullptr;
    ++waiter.origin.connections.orphan_dials;
    if (closing_) waiter.dial->scope.Cancel(FailureCode::kCancelled);
    SetDial(waiter, nullptr);
  }
  waiter.connection = std::move(connection);
  Remove(waiter);
  waiter.event.Set();
}

void ConnectionPool::Remove(Waiter& waiter) {
  waiter.in_origin.unlink();
  --waiter.origin.connections.queued;
  metrics_.queue_waiting.Add(-1);
}

void ConnectionPool::SetDial(Waiter& waiter, Dial* dial) {
  OriginConnections& connections = waiter.origin.connections;
  if ((waiter.dial == nullptr) == (dial == nullptr)) return;
  waiter.dial = dial;
  int change = dial == nullptr ? 1 : -1;
  connections.queued += static_cast<size_t>(change);
  metrics_.queue_waiting.Add(change);
}

void ConnectionPool::Close() {
  closing_ = true;
  idle_timer_.Disarm();
  while (!idle_.empty()) {
    OriginState& origin = idle_.front().origin;
    CloseConnection(TakeOut(idle_.front()));
    OnRoom(origin);
  }
  spare_buffers_.clear();
  for (Dial& dial : dials_)
    if (dial.starter == nullptr) dial.scope.Cancel(FailureCode::kCancelled);
}

}  // namespace fetchd::server
