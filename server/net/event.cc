#include "net/event.h"

namespace fetchd::server {

void Event::Set() {
  set_ = true;
  Wake();
}

void Event::Wake() {
  if (!waiter_) return;
  asio::post(executor_, [h = std::exchange(waiter_, nullptr)] { Resume(h); });
}

}  // namespace fetchd::server
