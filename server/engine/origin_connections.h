// The connections of one origin, and who waits for one. Plain state; ConnectionPool alone works on it.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "http/read_buffer.h"
#include "net/cancel_scope.h"
#include "net/connector.h"
#include "net/event.h"
#include "net/transport.h"

namespace fetchd::server {

struct OriginState;

using AutoHook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// One connection that works. Owned by its lease while in use, by the pool while idle.
struct PooledConnection {
  PooledConnection(OriginState& o, std::unique_ptr<Transport> t) : origin(o), transport(std::move(t)) {}
  OriginState& origin;
  std::unique_ptr<Transport> transport;
  ReadBuffer buffer;
  // No exchange begins from here on.
  Instant expires;
  Instant idle_since;
  int exchanges = 0;
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
  // Only a connection that has served nobody will do.
  bool fresh = false;
  // The fetch has stopped; it waits only for its dial to end.
  bool abandoned = false;
  // A connection being opened on its behalf; while it has none it is queued.
  Dial* dial = nullptr;
  // The attempt, and the wait within it, whose deadline is that of the queue.
  CancelScope* attempt = nullptr;
  CancelScope* wait = nullptr;
  // The end: one of them.
  std::unique_ptr<PooledConnection> connection;
  std::optional<Failure> failure;
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
