// The border between those who want a fetch (rpc/, batch, paged) and those who do it.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "http/body_io.h"
#include "model/outcome.h"
#include "model/request.h"

namespace fetchd::server {

class EngineThread;
class Hops;
class SharedCell;

// One fetch handed to Fetcher::Start, which shares ownership until OnDone has returned. The response goes to the sink
// side (ResponseSink), then OnDone is called exactly once, whatever happens.
//
// Threads: everything virtual is called on the owner thread of the fetch's origin; an implementation that belongs to
// another thread posts to it. A redirect can lead to another owner: OnStart is then called again, there. Before it
// nothing of the response was seen, but `request_body` may have been read from. Fetcher::Cancel may be called from any
// thread.
class FetchCall : public ResponseSink, public std::enable_shared_from_this<FetchCall> {
 public:
  // Set before Fetcher::Start; read-only afterwards, but for what redirects change: until OnDone it is the owner's.
  FetchSpec spec;
  // Which RPC it serves, for log and metrics: "Fetch", "FetchBatch", "FetchStream", "FetchPaged".
  std::string_view rpc = "Fetch";

  // The streamed request body, or null if spec.body is the body. Owned by the implementation. For the first request
  // only; none that follows a redirect has it.
  virtual RequestBody* request_body() { return nullptr; }
  // Called first, on the owner thread, before any other call: make Events on this executor. Once for each hop.
  virtual void OnStart(Executor owner) = 0;
  // The end. A failure with code kCancelled answers Fetcher::Cancel.
  virtual void OnDone(Outcome outcome) = 0;

 protected:
  // Where bytes of bodies that are held in memory are counted; null if nobody does. Set before OnStart. Outlives the
  // call.
  SharedCell* held_bytes() const { return held_bytes_; }

 private:
  friend class Fetcher;
  SharedCell* held_bytes_ = nullptr;
  // Any thread; together they make a Cancel at any moment reach the fetch: it sets the one and reads the other, Start
  // the other way round.
  std::atomic<bool> cancel_requested_{false};
  std::atomic<EngineThread*> owner_{nullptr};
  // Owner thread; set while the fetch runs.
  CancelScope* scope_ = nullptr;
  // Null unless the spec has HopOptions.
  std::shared_ptr<Hops> hops_;
};

}  // namespace fetchd::server
