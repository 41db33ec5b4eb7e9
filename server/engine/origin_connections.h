// The connections of one origin, and who waits for one. Plain state; ConnectionPool alone works on it.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "http/h2_session.h"
#include "http/read_buffer.h"
#include "model/request.h"
#include "net/cancel_scope.h"
#include "net/connector.h"
#include "net/event.h"
#include "net/transport.h"

namespace fetchd::server {

struct OriginState;

using AutoHook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// One connection that works. With HTTP/1.1 it is owned by its lease while in use, by the pool while idle. With HTTP/2
// many leases share it, and the pool owns it until its session is over.
struct PooledConnection {
  PooledConnection(OriginState& o, std::unique_ptr<Transport> t, std::shared_ptr<const Proxy> p)
      : origin(o), transport(std::move(t)), proxy(std::move(p)) {}
  // A fetch of that route may use it.
  bool Serves(const Route& route) const {
    return route.proxy == proxy && route.version != (session != nullptr ? HttpVersion::kHttp1 : HttpVersion::kHttp2);
  }
  // HTTP/2: leases that more may be given.
  size_t room() const {
    const size_t capacity = session->capacity();
    return capacity > streams ? capacity - streams : 0;
  }

  OriginState& origin;
  std::unique_ptr<Transport> transport;
  // Through which it leads; null: none.
  const std::shared_ptr<const Proxy> proxy;
  // HTTP/2, or null.
  std::unique_ptr<H2Session> session;
  // Leases of it, with HTTP/2.
  size_t streams = 0;
  // HTTP/2: takes no more leases; it ends when the last one is back.
  bool leaving = false;
  // HTTP/2: its session has ended.
  bool over = false;
  ReadBuffer buffer;
  // No exchange begins from here on.
  Instant expires;
  Instant idle_since;
  int exchanges = 0;
  // In the origin's list of idle or of shared ones; in the pool's list of idle ones.
  AutoHook in_origin, in_pool;
};

struct Waiter;

// A connection being opened. Owned by the coroutine that opens it.
struct Dial {
  Dial(OriginState& o, const Clock& clock, TimerQueue& timers)
      : origin(o), scope(clock, timers, kNever, FailureCode::kInternal) {}
  OriginState& origin;
  CancelScope scope;
  ConnectTarget target;
  Route route;
  // It may end with HTTP/2.
  bool may_be_http2 = false;
  // Who gets its failure; null for an orphan, whose failure nobody needs.
  Waiter* starter = nullptr;
  Instant began;
  AutoHook in_pool;
};

// A fetch that waits for a connection. Lives in the frame of ConnectionPool::Acquire.
struct Waiter {
  Waiter(OriginState& o, Executor executor) : origin(o), event(std::move(executor)) {}
  OriginState& origin;
  Event event;
  // For its dial, should it get one.
  ConnectTarget target;
  // The end of its time in the queue.
  Instant wait_until = kNever;
  // Only a connection that has served nobody will do, or one of HTTP/2.
  bool fresh = false;
  Route route;
  // The fetch has stopped; it waits only for its dial to end.
  bool abandoned = false;
  // A connection being opened on its behalf; while it has none it is queued.
  Dial* dial = nullptr;
  // The attempt, and the wait within it, whose deadline is that of the queue.
  CancelScope* attempt = nullptr;
  CancelScope* wait = nullptr;
  // The end: one of them.
  std::unique_ptr<PooledConnection> connection;
  PooledConnection* shared = nullptr;
  std::optional<Failure> failure;
  bool served() const { return connection != nullptr || shared != nullptr; }
  // Connection or failure came from its own dial, which began then and had these phases.
  bool own_dial = false;
  Instant dial_began = kNever;
  PhaseTimes phases;
  AutoHook in_origin;
};

template <typename T, AutoHook T::*hook>
using AutoList = boost::intrusive::list<T, boost::intrusive::member_hook<T, AutoHook, hook>,
                                        boost::intrusive::constant_time_size<false>>;

// The pool's part of OriginState.
struct OriginConnections {
  // Longest idle first.
  AutoList<PooledConnection, &PooledConnection::in_origin> idle;
  // Those of HTTP/2 that may be given leases, idle ones too.
  AutoList<PooledConnection, &PooledConnection::in_origin> shared;
  // What an https origin chose by ALPN, or what HTTP/2 came to. Unknown until the first handshake.
  enum class Speaks : uint8_t { kUnknown, kHttp1, kHttp2 };
  Speaks speaks = Speaks::kUnknown;
  // Dials under way that may end with HTTP/2.
  size_t http2_dials = 0;
  // Of these, those through a proxy.
  size_t proxied_http2_dials = 0;
  // How many streams the origin allowed on the last connection that told.
  size_t usual_streams = 100;
  // First come, first served.
  AutoList<Waiter, &Waiter::in_origin> waiters;
  // Connections idle, leased and being dialled. Never over the limit.
  size_t open = 0;
  // Dials whose connection is for whoever waits then: the fetch that began them was served otherwise.
  size_t orphan_dials = 0;
  // Waiters without a dial of their own.
  size_t queued = 0;
  // Is in the pool's list of origins that wait for its total to go down.
  bool starved = false;
};

}  // namespace fetchd::server
