// The coroutine vocabulary of every room from net/ up.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/intrusive/list.hpp>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

#include "base/recycler.h"

namespace fetchd::server {

namespace asio = boost::asio;

// The executor of an engine thread. Concrete rather than any_io_executor: no type erasure on the hot path.
using Executor = asio::io_context::executor_type;

template <typename T>
class Task;

// Runs the suspended coroutine `h`, and every coroutine that begins, ends or goes on thereby, until all wait for
// something else. For those who end a wait (Event, Reactor); on the thread the coroutine belongs to, and not from
// within one of its own calls.
void Resume(std::coroutine_handle<> h);

namespace internal {

// Who runs when the running coroutine has handed over: Resume looks here after each step. Handing over through a loop
// rather than by symmetric transfer keeps the stack flat in builds without tail calls (sanitizers, -O0) too.
inline thread_local std::coroutine_handle<> next_to_run;

// Where frames are.
struct RecycledFrame {
  static void* operator new(size_t size) { return Recycler::Allocate(size); }
  static void operator delete(void* frame, size_t size) { Recycler::Free(frame, size); }
};

class TaskPromiseBase : public RecycledFrame {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }
  auto final_suspend() noexcept {
    struct GoBack {
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) noexcept { next_to_run = caller; }
      void await_resume() noexcept {}
      std::coroutine_handle<> caller;
    };
    return GoBack{caller_};
  }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }
  void set_caller(std::coroutine_handle<> caller) { caller_ = caller; }

 protected:
  void RethrowError() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::coroutine_handle<> caller_;
  std::exception_ptr error_;
};

template <typename T>
class TaskPromise final : public TaskPromiseBase {
 public:
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T Take() {
    RethrowError();
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> final : public TaskPromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void Take() { RethrowError(); }
};

// Owns the frame of a coroutine.
template <typename Promise>
class CoroutineOwner {
 public:
  CoroutineOwner() = default;
  explicit CoroutineOwner(std::coroutine_handle<Promise> handle) : handle_(handle) {}
  CoroutineOwner(CoroutineOwner&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  CoroutineOwner& operator=(CoroutineOwner&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~CoroutineOwner() {
    if (handle_) handle_.destroy();
  }
  std::coroutine_handle<Promise> get() const { return handle_; }

 private:
  std::coroutine_handle<Promise> handle_;
};

}  // namespace internal

// A unit of asynchronous work that belongs to one engine thread: a coroutine that begins when it is awaited, once. Or,
// so that what can be had at once costs no frame, the value itself. Expected failures are values; an exception out of a
// Task is a bug. Tasks are free or member functions, never lambdas with captures (those dangle), and reference
// parameters must outlive the Task.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::TaskPromise<T>;

  // A Task that has its value already.
  Task(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor): `return value;` is the point
  explicit Task(std::coroutine_handle<promise_type> handle) : frame_(handle) {}

  bool await_ready() const { return value_.has_value(); }
  void await_suspend(std::coroutine_handle<> caller) {
    frame_.get().promise().set_caller(caller);
    internal::next_to_run = frame_.get();
  }
  T await_resume() { return value_.has_value() ? *std::move(value_) : frame_.get().promise().Take(); }

 private:
  internal::CoroutineOwner<promise_type> frame_;
  std::optional<T> value_;
};

template <>
class [[nodiscard]] Task<void> {
 public:
  using promise_type = internal::TaskPromise<void>;

  // A Task that is done already.
  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : frame_(handle) {}

  bool await_ready() const { return !frame_.get(); }
  void await_suspend(std::coroutine_handle<> caller) {
    frame_.get().promise().set_caller(caller);
    internal::next_to_run = frame_.get();
  }
  void await_resume() {
    if (frame_.get()) frame_.get().promise().Take();
  }

 private:
  internal::CoroutineOwner<promise_type> frame_;
};

namespace internal {

template <typename T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

}  // namespace internal

// The spawned tasks of one io_context. A context that is destroyed while some of them wait destroys their frames, like
// the handlers that still wait in it.
class SpawnedTasks final : public asio::execution_context::service {
 public:
  static inline asio::execution_context::id id;
  using key_type = SpawnedTasks;

  explicit SpawnedTasks(asio::execution_context& context) : service(context) {}
  static SpawnedTasks& Of(const Executor& executor) { return asio::use_service<SpawnedTasks>(executor.context()); }

  // Begins `task` at once, on the calling thread, which must be the one that runs the context, and calls `done` with
  // what it threw, if anything, when it has ended.
  template <typename Done>
  void Spawn(Task<void> task, Done done) {
    Root root = Run(std::move(task), std::move(done));
    roots_.push_back(root.handle.promise());
    Resume(root.handle);
  }

 private:
  // The outermost frame; it belongs to itself.
  struct Root {
    struct promise_type : internal::RecycledFrame,
                          boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
      Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
      std::suspend_always initial_suspend() noexcept { return {}; }
      std::suspend_never final_suspend() noexcept { return {}; }
      void return_void() {}
      // Out of `done`, which has nobody to tell.
      void unhandled_exception() noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
  };

  template <typename Done>
  static Root Run(Task<void> task, Done done) {
    std::exception_ptr error;
    try {
      co_await task;
    } catch (...) {
      error = std::current_exception();
    }
    done(error);
  }

  void shutdown() override;

  boost::intrusive::list<Root::promise_type, boost::intrusive::constant_time_size<false>> roots_;
};

// See SpawnedTasks::Spawn.
template <typename Done>
void Spawn(const Executor& executor, Task<void> task, Done done) {
  SpawnedTasks::Of(executor).Spawn(std::move(task), std::move(done));
}

// Goes to the end of the thread's queue.
class Yield {
 public:
  explicit Yield(Executor executor) : executor_(std::move(executor)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    asio::post(executor_, [h] { Resume(h); });
  }
  void await_resume() {}

 private:
  Executor executor_;
};

}  // namespace fetchd::server
