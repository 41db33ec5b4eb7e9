// One loop, and all that belongs to it.
#pragma once

#include <atomic>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "base/timer_queue.h"
#include "engine/engine_options.h"
#include "net/task.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

class ConnectionPool;
class Connector;
class OriginTable;
class Service;

// An event loop with its timers, chance, counters, connections and the origins it owns. Made by Engine (or, with a fake
// connector, by a test). All members but the marked ones belong to the thread that runs the loop.
class EngineThread {
 public:
  // `connector` is made by `make_connector` for this thread's loop.
  using ConnectorFactory = std::function<std::unique_ptr<Connector>(EngineThread&)>;
  EngineThread(size_t index, const EngineOptions& options, const Clock& clock, const ConnectorFactory& make_connector);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Makes the calling thread the owner, until this is destroyed (there, on this thread); it may run io() by any of run,
  // run_one and poll.
  void Adopt();
  // Adopts, and runs the loop until Stop and the end of the last fetch.
  void Run();
  // Any thread: idle connections are closed at once, and Run returns when the fetches in flight have ended. A loop
  // driven from outside goes on as long as its driver wants it to.
  void Stop();

  // `roamers`, which outlives this, counts fetches of any thread that may come here; Run does not return while there
  // are any. Before the thread runs. OnRoamersEnded (any thread) must be called when there are none after Stop.
  void WaitFor(const std::atomic<int>& roamers) { roamers_ = &roamers; }
  void OnRoamersEnded();

  // The engine thread that the calling thread runs, or null. Any thread.
  static EngineThread* Current();
  // Any thread.
  bool IsCurrent() const { return Current() == this; }

  // Any thread (posting only).
  asio::io_context& io() { return io_; }
  Executor executor() { return io_.get_executor(); }
  SpawnedTasks& tasks() { return tasks_; }
  size_t index() const { return index_; }
  const Clock& clock() const { return clock_; }
  // Readable from any thread.
  ThreadMetrics& metrics() { return metrics_; }
  const ThreadMetrics& metrics() const { return metrics_; }

  TimerQueue& timers() { return timers_; }
  Random& random() { return random_; }
  Connector& connector() { return *connector_; }
  ConnectionPool& pool() { return *pool_; }
  OriginTable& origins() { return *origins_; }
  const EngineOptions& options() const { return options_; }
  // The layers, outermost first; see MakeService.
  Service& service() { return *service_; }

  // Counts the work that Stop waits for.
  void OnFetchBegan();
  void OnFetchEnded();

 private:
  void WakeAt(Instant at);
  void OnWake();
  void EndIfDone();

  const size_t index_;
  const EngineOptions options_;
  const PolicySource default_policies_;
  const Clock& clock_;
  ThreadMetrics metrics_;
  Random random_;
  // Timers and loop are destroyed after all that uses them, and the loop, with what still waits in it, before the
  // timers.
  TimerQueue timers_;
  asio::io_context io_;
  SpawnedTasks& tasks_;
  std::optional<asio::executor_work_guard<Executor>> work_;
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor> wake_;
  Instant wake_at_ = kNever;
  size_t fetches_ = 0;
  const std::atomic<int>* roamers_ = nullptr;
  bool stopping_ = false;
  bool runs_here_ = false;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<OriginTable> origins_;
  std::unique_ptr<ConnectionPool> pool_;
  std::unique_ptr<Service> service_;
};

}  // namespace fetchd::server
