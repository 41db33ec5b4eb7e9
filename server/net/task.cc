#include "net/task.h"

namespace fetchd::server {

void Resume(std::coroutine_handle<> h) {
  do {
    h.resume();
    h = std::exchange(internal::next_to_run, nullptr);
  } while (h);
}

void SpawnedTasks::shutdown() {
  while (!roots_.empty()) std::coroutine_handle<Root::promise_type>::from_promise(roots_.front()).destroy();
}

}  // namespace fetchd::server
