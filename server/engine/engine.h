// The engine: a few threads, each the owner of its share of the origins.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine_options.h"
#include "engine/engine_thread.h"
#include "model/origin.h"

namespace fetchd::server {

class AddressGuard;

// Owns the engine threads. Created and destroyed by main (or a test); everything else here is thread-safe. Must be
// stopped, with no fetch left, before it is destroyed.
class Engine {
 public:
  // Builds the threads' state without starting anything. InvalidArgument if a TLS trust file cannot be read.
  // `guard` and `clock` outlive the engine.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(EngineOptions options, const AddressGuard& guard,
                                                        const Clock& clock = SystemClock());
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Starts a system thread for each engine thread from number `first` on. A caller that drives the first loop itself
  // (rpc/, on the thread of its completion queue) passes 1 and uses thread(0).Adopt() and thread(0).io().
  void Start(size_t first = 0);

  // Closes idle connections, waits for the fetches in flight to end, then joins the threads that Start began. Cancels
  // nothing. A loop driven from outside must be run until its fetches have ended, before or after this. No fetch may be
  // started any more. Idempotent; not from an engine thread that Start began.
  void Stop();

  // A fetch that may go on with another owner than it began with is there, or is there no more: no thread that Stop has
  // told to end does so before. Thread-safe; the end on the owner's thread, before its OnFetchEnded.
  void OnRoamerBegan() { roamers_.fetch_add(1); }
  void OnRoamerEnded();

  // The owner of an origin: a hash that is the same for the life of the process.
  EngineThread& OwnerOf(const Origin& origin);

  size_t size() const { return threads_.size(); }
  EngineThread& thread(size_t i) { return *threads_[i]; }

 private:
  Engine() = default;

  std::atomic<int> roamers_{0};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<TlsContext> tls_;
  std::vector<std::unique_ptr<EngineThread>> threads_;
  std::vector<std::thread> running_;
};

}  // namespace fetchd::server
