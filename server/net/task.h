// The coroutine vocabulary of every room from net/ up.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace fetchd::server {

namespace asio = boost::asio;

// The executor of an engine thread. Concrete rather than any_io_executor: no type erasure on the hot path.
using Executor = asio::io_context::executor_type;

// A unit of asynchronous work that belongs to one engine thread. Expected failures are values; an exception out of a
// Task is a bug. Tasks are free or member functions, never lambdas with captures (those dangle), and reference
// parameters must outlive the Task.
template <typename T>
using Task = asio::awaitable<T, Executor>;

// Completion token of all I/O: errors come back as the first tuple element, nothing throws.
inline constexpr auto kAsTask = asio::as_tuple(asio::use_awaitable_t<Executor>{});

}  // namespace fetchd::server
