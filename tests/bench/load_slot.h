#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "bench/workload.h"

namespace fetchd::bench {

// What all slots share and count in. One thread: the one that polls the completion queue.
struct Tally {
  // Calls that end are counted only while this is set.
  bool measuring = false;
  // Calls that may still be begun; slots stop when it is 0.
  long calls_left = 0;
  // Calls in flight.
  long active = 0;
  // Calls that ended well, and that did not.
  long calls = 0;
  long errors = 0;
  // Bytes of reply messages that arrived.
  size_t bytes = 0;
  // Microseconds from the start to the end of each good call.
  std::vector<float> latencies_us;
  // What went wrong first, measuring or not.
  std::string first_error;
};

// Keeps one call in flight. A tag of the completion queue is a LoadSlot.
class LoadSlot {
 public:
  virtual ~LoadSlot() = default;
  // Begins a call if the tally leaves one.
  virtual void Start() = 0;
  // An event of the completion queue with this slot as its tag.
  virtual void OnEvent(bool ok) = 0;
};

// What slots are made from; outlives them.
struct SlotContext {
  const Workload* work;
  const std::string* method;
  const std::vector<grpc::ByteBuffer>* requests;
  grpc::CompletionQueue* queue;
  Tally* tally;
};

// A slot that calls through `stub`, which outlives it. `first_request` is the index of the request it begins with:
// slots then take every `slots`-th, so that together they go round all of them.
std::unique_ptr<LoadSlot> MakeLoadSlot(const SlotContext& context, grpc::GenericStub* stub, size_t first_request,
                                       size_t slots);

}  // namespace fetchd::bench
