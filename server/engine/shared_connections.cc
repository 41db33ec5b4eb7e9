// The part of ConnectionPool that has to do with HTTP/2: connections that many leases share.
#include <cassert>
#include <utility>

#include "engine/connection_pool.h"

namespace fetchd::server {
namespace {

using Speaks = OriginConnections::Speaks;

// Room for reads of all HTTP/2 connections.
constexpr size_t kScratch = 256 * 1024;

}  // namespace

void ConnectionPool::AddSession(OriginState& origin, std::unique_ptr<PooledConnection> connection) {
  if (scratch_.empty()) scratch_.resize(kScratch);
  PooledConnection& shared = *connection;
  shared.session = std::make_unique<H2Session>(options_.h2, *shared.transport, scratch_, executor_, clock_, timers_,
                                               static_cast<H2Session::Owner&>(*this));
  sessions_.emplace(shared.session.get(), std::move(connection));
  shared.session->Start();
  const Instant now = clock_.Now();
  if (closing_) {
    Leave(shared);
    OnRoom(origin);
    return;
  }
  origin.connections.shared.push_back(shared);
  ServeShared(shared, now);
  if (shared.streams == 0) PutSharedIdle(shared, now);
  Pump(origin);
}

PooledConnection* ConnectionPool::FindShared(OriginState& origin, const Route& route, Instant now) {
  auto& list = origin.connections.shared;
  for (auto it = list.begin(); it != list.end();) {
    PooledConnection& shared = *it++;
    if (!MayServeAgain(shared, now) || origin.brain.outliers.Ejected(shared.transport->peer().address, now)) {
      Leave(shared);
    } else if (shared.Serves(route) && shared.room() > 0) {
      return &shared;
    }
  }
  return nullptr;
}

void ConnectionPool::ServeShared(PooledConnection& shared, Instant now) {
  while (!shared.leaving && shared.room() > 0) {
    if (!MayServeAgain(shared, now)) return Leave(shared);
    Waiter* waiter = FirstTakerOf(shared);
    if (waiter == nullptr) return;
    Serve(*waiter, shared);
  }
}

void ConnectionPool::TakeStream(PooledConnection& shared) {
  if (++shared.streams > 1) return;
  metrics_.connections_active.Add(1);
  if (!shared.in_pool.is_linked()) return;
  shared.in_pool.unlink();
  metrics_.connections_idle.Add(-1);
}

void ConnectionPool::PutSharedIdle(PooledConnection& shared, Instant now) {
  shared.idle_since = now;
  if (!idle_timer_.armed()) idle_timer_.Arm(After(now, options_.idle_timeout));
  metrics_.connections_idle.Add(1);
  idle_.push_back(shared);
  // Idle here may be room elsewhere.
  if (!starved_.empty()) OnRoom(shared.origin);
}

void ConnectionPool::ReturnShared(PooledConnection& shared) {
  OriginState& origin = shared.origin;
  OriginRef keep(origins_, origin);
  metrics_.leases.Add(-1);
  if (--shared.streams == 0) metrics_.connections_active.Add(-1);
  const Instant now = clock_.Now();
  if (!shared.leaving && (!shared.session->usable() || !MayServeAgain(shared, now))) Leave(shared);
  if (shared.leaving) {
    if (shared.streams == 0) {
      shared.session->Retire();
      EndShared(shared);
    }
    OnRoom(origin);
    return;
  }
  ServeShared(shared, now);
  if (!shared.leaving && shared.streams == 0 && !shared.in_pool.is_linked()) PutSharedIdle(shared, now);
}

void ConnectionPool::Leave(PooledConnection& shared) {
  assert(!shared.leaving);
  shared.leaving = true;
  if (shared.in_origin.is_linked()) shared.in_origin.unlink();
  if (shared.in_pool.is_linked()) {
    shared.in_pool.unlink();
    metrics_.connections_idle.Add(-1);
  }
  // Who has a lease may still begin a stream.
  if (shared.streams == 0) shared.session->Retire();
}

void ConnectionPool::CloseIdle(PooledConnection& idle) {
  if (idle.session != nullptr) return Leave(idle);
  CloseConnection(TakeOut(idle));
}

void ConnectionPool::OnSessionChanged(H2Session& session) {
  const auto it = sessions_.find(&session);
  // Its first words, before it is known.
  if (it == sessions_.end()) return;
  PooledConnection& shared = *it->second;
  OriginState& origin = shared.origin;
  OriginRef keep(origins_, origin);
  if (session.settled() && session.usable()) origin.connections.usual_streams = std::max<size_t>(session.capacity(), 1);
  if (session.wants_http1()) origin.connections.speaks = Speaks::kHttp1;
  if (!shared.leaving && !session.usable()) Leave(shared);
  if (shared.leaving) return OnRoom(origin);
  ServeShared(shared, clock_.Now());
  Pump(origin);
}

void ConnectionPool::OnSessionOver(H2Session& session) {
  PooledConnection& shared = *sessions_.find(&session)->second;
  shared.over = true;
  if (!shared.leaving) Leave(shared);
  if (shared.streams == 0) EndShared(shared);
}

void ConnectionPool::EndShared(PooledConnection& shared) {
  if (!shared.over) return;
  {
    OriginState& origin = shared.origin;
    OriginRef keep(origins_, origin);
    // The session dies with this, and its connection with it.
    const auto it = sessions_.find(shared.session.get());
    std::unique_ptr<PooledConnection> connection = std::move(it->second);
    sessions_.erase(it);
    connection->transport->Close();
    connection.reset();
    --total_;
    --origin.connections.open;
    OnRoom(origin);
  }
  // An origin that is still held now would outlast the end of the thread's work, and its timer keep the loop.
  if (closing_ && on_less_to_end_) on_less_to_end_();
}

}  // namespace fetchd::server
