#include "net/event.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

namespace fetchd::server {

void Event::Set() {
  set_ = true;
  if (!waiter_) return;
  asio::post(executor_, std::exchange(waiter_, nullptr));
}

Task<void> Event::Suspend() {
  return asio::async_initiate<const asio::use_awaitable_t<Executor>, void()>(
      [this](auto handler) { waiter_ = [h = std::move(handler)]() mutable { std::move(h)(); }; },
      asio::use_awaitable_t<Executor>{});
}

Task<bool> Event::Wait(CancelScope& scope) {
  while (!set_) {
    if (scope.stopped()) co_return false;
    CancelScope::StopHook hook(scope, [this] {
      if (waiter_) asio::post(executor_, std::exchange(waiter_, nullptr));
    });
    co_await Suspend();
  }
  set_ = false;
  co_return true;
}

}  // namespace fetchd::server
