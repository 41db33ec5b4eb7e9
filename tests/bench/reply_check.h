#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <memory>
#include <string>

#include "bench/workload.h"

namespace fetchd::bench {

// Checks the replies of one call after another. Parsing every reply would make the client the bottleneck, so the first
// call of all and then every 64th are parsed and compared with the workload, and of the others the last message (if it
// ends a stream) and the size: it may differ by 5 % from the first one's, for dates and ids vary.
//
// One check per slot; they share what the first call showed, so all of them belong to one thread.
class ReplyCheck {
 public:
  virtual ~ReplyCheck() = default;

  // Begins with another call.
  void Begin();
  // A message of the call arrived. It is kept until the next one or End().
  void Take(const grpc::ByteBuffer& message);
  // The call ended with status OK. Empty, or what is wrong.
  std::string End();

  // Bytes of messages taken since Begin().
  size_t bytes() const { return bytes_; }
  // From now on every message is searched for `marker`; empty (default): none is. For all checks of the process.
  static void CountMarker(std::string marker);
  // Calls in which the marker was found, since the last ForgetMarkedCalls().
  static long marked_calls();
  static void ForgetMarkedCalls();

 protected:
  explicit ReplyCheck(const Workload& work) : work_(work) {}

  const Workload& work() const { return work_; }

  // The call is to be parsed: begin with nothing counted.
  virtual void BeginParsing() = 0;
  // One of its messages.
  virtual void Parse(const std::string& message) = 0;
  // Its end: empty, or what is wrong with all that was parsed.
  virtual std::string EndParsing() = 0;
  // Looks at the last message of a call that was not parsed.
  virtual std::string LookAtLast(const grpc::ByteBuffer& message) = 0;

 private:
  const Workload& work_;
  bool parsing_ = false;
  bool marked_ = false;
  size_t bytes_ = 0;
  grpc::ByteBuffer last_;
};

// The check for this workload, which must outlive it.
std::unique_ptr<ReplyCheck> MakeReplyCheck(const Workload& work);

}  // namespace fetchd::bench
