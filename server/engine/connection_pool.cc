#include "engine/connection_pool.h"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <cassert>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "http/h2_exchange.h"

namespace fetchd::server {
namespace {

// Buffers kept for the next connection in use.
constexpr size_t kSpareBuffers = 64;

// Dials to an https origin of which it is not known what it speaks.
constexpr size_t kProbes = 4;

using Speaks = OriginConnections::Speaks;

}  // namespace

Waiter* ConnectionPool::FirstTakerOf(const PooledConnection& connection) {
  const bool served = connection.session == nullptr && connection.exchanges > 0;
  for (Waiter& waiter : connection.origin.connections.waiters)
    if ((!served || !waiter.fresh) && connection.Serves(waiter.route)) return &waiter;
  return nullptr;
}

Lease::Lease(ConnectionPool& pool, std::unique_ptr<PooledConnection> connection)
    : pool_(&pool), connection_(std::move(connection)), reused_(connection_->exchanges > 1) {}

Lease::Lease(ConnectionPool& pool, PooledConnection& shared, bool reused)
    : pool_(&pool), shared_(&shared), reused_(reused) {}

Lease::Lease(Lease&& other) noexcept
    : pool_(other.pool_),
      connection_(std::move(other.connection_)),
      shared_(std::exchange(other.shared_, nullptr)),
      reused_(other.reused_),
      clean_at_(std::exchange(other.clean_at_, std::nullopt)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  End();
  pool_ = other.pool_;
  connection_ = std::move(other.connection_);
  shared_ = std::exchange(other.shared_, nullptr);
  reused_ = other.reused_;
  clean_at_ = std::exchange(other.clean_at_, std::nullopt);
  return *this;
}

Lease::~Lease() { End(); }

void Lease::End() {
  if (connection_ != nullptr) pool_->Return(std::move(connection_), std::exchange(clean_at_, std::nullopt));
  if (shared_ != nullptr) pool_->ReturnShared(*std::exchange(shared_, nullptr));
}

Task<ExchangeResult> Lease::Exchange(const FetchSpec& spec, RequestBody* body, HeadJudge& judge,
                                     const HttpLimits& limits, CancelScope& scope) {
  const ExchangeRequest request{
      .spec = spec, .body = body, .judge = judge, .limits = limits, .reused_connection = reused()};
  if (shared_ != nullptr) return RunH2Exchange(*shared_->session, pool_->executor_, request, scope);
  return RunExchange(*connection_->transport, connection_->buffer, pool_->executor_, request, scope);
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
  while (!idle_.empty()) CloseIdle(idle_.front());
  assert(sessions_.empty());
}

Task<ConnectionPool::Result> ConnectionPool::Acquire(Request request) {
  const Instant began = request.now;
  if (!request.origin.connections.shared.empty()) {
    if (PooledConnection* shared = FindShared(request.origin, request.spec.route, began)) {
      request.scope.SetDeadline(After(began, request.spec.timeouts.attempt));
      Result result;
      TakeStream(*shared);
      result.lease = MakeLease(*shared);
      return result;
    }
  }
  if (!request.fresh) {
    if (auto connection = TakeIdle(request.origin, request.spec.route, began)) {
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
  waiter.target = ConnectTarget{.origin = origin.origin,
                                .literal = request.spec.url.host_address(),
                                .timeouts = timeouts,
                                .proxy = request.spec.route.proxy,
                                .leave_out = {}};
  waiter.fresh = request.fresh;
  waiter.route = request.spec.route;
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

  while (!waiter.served() && !waiter.failure) {
    bool woken = co_await waiter.event.Wait(wait);
    if (!woken && !waiter.served() && !waiter.failure) co_await Abandon(waiter, wait.reason());
  }

  result.phases = waiter.phases;
  const Instant left_queue = waiter.own_dial ? waiter.dial_began : clock_.Now();
  result.phases.queue = left_queue - began;
  if (waiter.failure) {
    result.failure = std::move(waiter.failure);
    co_return result;
  }
  if (!waiter.own_dial) request.scope.SetDeadline(After(left_queue, timeouts.attempt));
  if (waiter.shared != nullptr)
    result.lease = MakeLease(*waiter.shared);
  else
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

// The stream was counted when the connection was chosen.
Lease ConnectionPool::MakeLease(PooledConnection& shared) {
  const bool reused = ++shared.exchanges > 1;
  if (reused) metrics_.connections_reused.Add(1);
  metrics_.leases.Add(1);
  return Lease(*this, shared, reused);
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
  if (Waiter* waiter = FirstTakerOf(*connection); waiter != nullptr && connection->transport->LooksAlive()) {
    Serve(*waiter, std::move(connection));
    return;
  }
  PutIdle(std::move(connection), *clean_at);
}

bool ConnectionPool::MayServeAgain(PooledConnection& connection, Instant now) const {
  return !closing_ && now < connection.expires &&
         (options_.max_exchanges == 0 || connection.exchanges < options_.max_exchanges);
}

std::unique_ptr<PooledConnection> ConnectionPool::TakeIdle(OriginState& origin, const Route& route, Instant now) {
  auto& idle = origin.connections.idle;
  for (auto it = idle.end(); it != idle.begin();) {
    --it;
    if (!it->Serves(route)) continue;
    PooledConnection& found = *it;
    ++it;
    std::unique_ptr<PooledConnection> connection = TakeOut(found);
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
    CloseIdle(idle_.front());
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
  // By proxy, each counted when the first one asks.
  boost::container::small_vector<std::pair<const Proxy*, size_t>, 4> rooms;
  for (Waiter& waiter : connections.waiters) {
    const bool may_be_http2 = MayBeHttp2(origin, waiter.route);
    size_t* room = nullptr;
    if (may_be_http2) {
      const Proxy* proxy = waiter.route.proxy.get();
      for (auto& [other, left] : rooms)
        if (other == proxy) room = &left;
      if (room == nullptr) room = &rooms.emplace_back(proxy, RoomToCome(origin, proxy)).second;
      // Those that have a dial of their own may be served by another one too.
      if (*room > 0) {
        --*room;
        continue;
      }
    }
    if (waiter.dial != nullptr) continue;
    if (!may_be_http2 && coming > 0) {
      --coming;
      continue;
    }
    if (!MakeRoom(origin)) return;
    StartDial(origin, waiter);
    if (may_be_http2)
      *room = connections.speaks == Speaks::kUnknown ? RoomToCome(origin, waiter.route.proxy.get())
                                                     : *room + connections.usual_streams - 1;
  }
}

bool ConnectionPool::MayBeHttp2(const OriginState& origin, const Route& route) const {
  if (route.version == HttpVersion::kHttp2) return true;
  return origin.brain.http2 && route.version == HttpVersion::kAuto && origin.origin.scheme == Scheme::kHttps &&
         origin.connections.speaks != Speaks::kHttp1;
}

size_t ConnectionPool::RoomToCome(const OriginState& origin, const Proxy* proxy) const {
  const OriginConnections& connections = origin.connections;
  size_t dials = connections.http2_dials;
  // Dials in progress are few where there are proxies at all.
  if (proxy != nullptr || connections.proxied_http2_dials > 0) {
    dials = static_cast<size_t>(std::count_if(dials_.begin(), dials_.end(), [&](const Dial& dial) {
      return &dial.origin == &origin && dial.may_be_http2 && dial.route.proxy.get() == proxy;
    }));
  }
  // All wait for what the first handshakes tell.
  if (connections.speaks == Speaks::kUnknown) return dials >= kProbes ? SIZE_MAX : 0;
  size_t room = dials * std::min<size_t>(options_.h2.max_streams, connections.usual_streams);
  for (const PooledConnection& shared : connections.shared)
    if (shared.proxy.get() == proxy)
      room += shared.session->expected_capacity() - std::min(shared.session->expected_capacity(), shared.streams);
  return room;
}

void ConnectionPool::CountHttp2Dial(const Dial& dial, int change) {
  OriginConnections& connections = dial.origin.connections;
  connections.http2_dials += static_cast<size_t>(change);
  if (dial.route.proxy != nullptr) connections.proxied_http2_dials += static_cast<size_t>(change);
}

bool ConnectionPool::MakeRoom(OriginState& origin) {
  OriginConnections& connections = origin.connections;
  if (connections.open >= options_.max_per_origin) {
    // Idle ones beside a waiter: it wants a fresh one.
    if (connections.idle.empty()) return false;
    CloseIdle(connections.idle.front());
    return true;
  }
  if (total_ < options_.max_total) return true;
  if (!idle_.empty()) {
    OriginState& victim = idle_.front().origin;
    CloseIdle(idle_.front());
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
  dial->route = waiter.route;
  dial->target.version = waiter.route.version;
  dial->may_be_http2 = MayBeHttp2(origin, waiter.route);
  if (dial->may_be_http2)
    CountHttp2Dial(*dial, 1);
  else
    dial->target.version = HttpVersion::kHttp1;
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
  if (pool.closing_ && pool.on_less_to_end_) pool.on_less_to_end_();
}

void ConnectionPool::EndDial(Dial& dial, ConnectResult result) {
  OriginState& origin = dial.origin;
  dial.in_pool.unlink();
  Waiter* starter = dial.starter;
  if (dial.may_be_http2) CountHttp2Dial(dial, -1);
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
  auto connection = std::make_unique<PooledConnection>(origin, std::move(result.transport), dial.route.proxy);
  Duration lifetime = options_.max_lifetime;
  if (lifetime != kForever)
    lifetime -= Duration(static_cast<Duration::rep>(random_.NextDouble() * static_cast<double>(lifetime.count()) / 10));
  connection->expires = After(clock_.Now(), lifetime);
  if (starter != nullptr && starter->abandoned) {
    starter->dial = nullptr;
    starter->event.Set();
    starter = nullptr;
  }
  if (dial.may_be_http2 && dial.route.version == HttpVersion::kAuto)
    origin.connections.speaks = result.http2 ? Speaks::kHttp2 : Speaks::kHttp1;
  if (result.http2) {
    if (starter != nullptr) {
      SetDial(*starter, nullptr);
      starter->wait->SetDeadline(starter->wait_until);
    }
    PooledConnection* shared = connection.get();
    AddSession(origin, std::move(connection));
    if (starter != nullptr && starter->shared == shared) {
      starter->own_dial = true;
      starter->dial_began = dial.began;
      starter->phases = result.phases;
    }
    return;
  }
  Waiter* first = FirstTakerOf(*connection);
  if (starter != nullptr && first != starter) {
    // An earlier one takes it; its own dial, if it has one, will serve the starter.
    SetDial(*starter, nullptr);
    starter->wait->SetDeadline(starter->wait_until);
  }
  if (first == nullptr) {
    if (const Instant now = clock_.Now(); MayServeAgain(*connection, now)) {
      PutIdle(std::move(connection), now);
      // Those that counted on this dial, and cannot use what came of it, need one of their own.
      Pump(origin);
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
  waiter.connection = std::move(connection);
  TakeOff(waiter);
}

void ConnectionPool::Serve(Waiter& waiter, PooledConnection& shared) {
  TakeStream(shared);
  waiter.shared = &shared;
  TakeOff(waiter);
}

void ConnectionPool::TakeOff(Waiter& waiter) {
  if (waiter.dial != nullptr) {
    waiter.dial->starter = nullptr;
    ++waiter.origin.connections.orphan_dials;
    if (closing_) waiter.dial->scope.Cancel(FailureCode::kCancelled);
    SetDial(waiter, nullptr);
  }
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
    CloseIdle(idle_.front());
    OnRoom(origin);
  }
  spare_buffers_.clear();
  for (Dial& dial : dials_)
    if (dial.starter == nullptr) dial.scope.Cancel(FailureCode::kCancelled);
  // Those that serve somebody go on until they have.
  for (auto& [session, connection] : sessions_)
    if (!connection->leaving) Leave(*connection);
}

}  // namespace fetchd::server
