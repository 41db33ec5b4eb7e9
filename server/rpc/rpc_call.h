// What all RPCs of the server share.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "fetch/admission.h"
#include "fetch/fetch_starter.h"
#include "fetchd/v1/fetch_service.grpc.pb.h"
#include "net/task.h"
#include "rpc/cq_tag.h"
#include "rpc/request_reader.h"
#include "rpc/status_table.h"
#include "telemetry/thread_metrics.h"

namespace fetchd::server {

class ResumeTokens;
class RpcCall;

// All methods asynchronous; those that are called often, or carry much, with raw messages: no protobuf object stands
// between what the engine collected and what gRPC sends.
using AsyncFetchService = v1::FetchService::WithRawMethod_FetchStream<
    v1::FetchService::WithRawMethod_Fetch<v1::FetchService::WithRawMethod_FetchBatch<
        v1::FetchService::WithAsyncMethod_FetchPaged<v1::FetchService::Service>>>>;

// What calls work with. Owned by RpcServer, outlives every call. The references are thread-safe or immutable; the rest
// belongs to the home thread.
struct RpcDesk {
  AsyncFetchService& service;
  grpc::ServerCompletionQueue& cq;
  FetchStarter& starter;
  Admission& admission;
  const RequestReader& reader;
  const ResumeTokens& tokens;
  const Clock& clock;
  Executor home;
  // Bytes of blocks that hold response bodies; changed from any thread.
  SharedCell& buffered_bytes;
  // Full names of the fetchd.v1 services that callers find here.
  std::vector<std::string_view> services;

  // All calls, those waiting to be called included.
  RpcCall* calls = nullptr;
  // Called when the last call is gone, if set.
  std::function<void()> on_no_calls;
};

// One RPC, or one that waits to be called. Belongs to the home thread. Owns itself: it counts what is still to come
// back to it (tags, the end of its fetch) and is deleted when nothing is.
class RpcCall {
 public:
  RpcCall(const RpcCall&) = delete;
  RpcCall& operator=(const RpcCall&) = delete;

  // fetchd is shutting down: what would go on for long should end early. Must not delete the call in place.
  virtual void OnDrain() {}
  // The answer of the health service has changed. Must not delete the call in place.
  virtual void OnHealth() {}
  RpcCall* next() const { return next_; }

  void Hold() { ++held_; }
  // May delete this.
  void Release() {
    if (--held_ == 0) delete this;
  }

 protected:
  explicit RpcCall(RpcDesk& desk);
  virtual ~RpcCall();

  // To be called in the constructor, before the call is requested.
  void NotifyWhenDone() {
    done_.Begun();
    context_.AsyncNotifyWhenDone(static_cast<CqTag*>(&done_));
  }
  // To be called when it has arrived. From here on `cancelled` may come true and OnCancelled be called.
  void Arrived() { Hold(); }
  // The caller, or the end of the connection or deadline, cancelled; not called after a regular end.
  virtual void OnCancelled() = 0;

  // Who calls, and until when.
  std::variant<RpcFacts, Refusal> Facts() const;
  // Admits `fetches` of this priority, or says why not. `facts` are the call's.
  std::optional<Refusal> Admit(int64_t fetches, const RpcFacts& facts, Priority priority);

  RpcDesk& desk_;
  grpc::ServerContext context_;
  bool cancelled_ = false;

 private:
  class DoneTag final : public CqTag {
   public:
    explicit DoneTag(RpcCall* call) : call_(call) {}
    void OnEvent(bool ok) override;

   private:
    RpcCall* call_;
  };

  DoneTag done_{this};
  Admission::Permit permit_;
  int held_ = 0;
  RpcCall* next_ = nullptr;
  RpcCall** link_ = nullptr;
};

// A tag that calls a member of the call it is part of, and keeps the call until then. One operation at a time.
template <typename Call>
class CallTag final : public CqTag {
 public:
  CallTag(Call* call, void (Call::*method)(bool ok)) : call_(call), method_(method) {}
  // The tag for an operation that is now begun.
  void* Arm() {
    call_->Hold();
    Begun();
    return static_cast<CqTag*>(this);
  }
  void OnEvent(bool ok) override {
    (call_->*method_)(ok);
    call_->Release();
  }

 private:
  Call* const call_;
  void (Call::*const method_)(bool ok);
};

}  // namespace fetchd::server
