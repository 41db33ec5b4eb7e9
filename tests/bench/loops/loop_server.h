// The arrangements.
#pragma once

#include <memory>
#include <string>

#include "calls.h"

namespace fetchd::server {

// A gRPC server that answers Fetch and FetchBatch; all other methods are UNIMPLEMENTED. Made and destroyed by main.
class LoopServer {
 public:
  virtual ~LoopServer() = default;
  // Cancels the calls in progress after a second; returns when there are none. Once, before the engine is stopped.
  virtual void Stop() = 0;
};

struct LoopOptions {
  std::string listen;
  int max_receive_message_bytes = 0;
};

// gRPC's callback API: calls arrive on threads of gRPC's own and are read there; answers are made on engine threads,
// which run by themselves. Null if it cannot listen.
std::unique_ptr<LoopServer> ServeByCallback(const LoopOptions& options, LoopDesk& desk);

// A completion queue. Apart: on a thread of its own, where calls are read; answers are made on engine threads, which
// run by themselves. Not apart: together with the loop of engine thread 0, by CqLoop, as fetchd does it; the destructor
// waits for that loop to end. Null if it cannot listen.
std::unique_ptr<LoopServer> ServeByQueue(const LoopOptions& options, LoopDesk& desk, bool apart);

}  // namespace fetchd::server
