// FetchBatch: many independent fetches at the caller's pace.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "fetch/collecting_call.h"
#include "fetch/fetch_starter.h"
#include "net/task.h"

namespace fetchd::server {

// How a batch is worked off; the meaning of each is in fetchd.v1.FetchBatchRequest.
struct BatchSpec {
  // Number of items, at least 1.
  size_t items = 0;
  bool input_order = false;
  bool fail_fast = false;
  // What it is admitted by: that of its first item.
  Priority priority = Priority::kNormal;
  // Items in flight at once, at least 1.
  size_t max_concurrency = 100;
  // When the last result must be there: the RPC deadline less its margin. Items in flight have it in their own spec;
  // those not begun by then end with TOTAL_TIMEOUT.
  Instant deadline = kNever;
  // Nothing new is begun while results of this size wait for the caller.
  size_t max_unsent_bytes = 8 * 1024 * 1024;
};

// An item that is not to be fetched, or has no verdict.
struct ItemFailure {
  // Names it in the log.
  std::string fetch_id;
  // Without query values; empty if there is none.
  std::string redacted_url;
  Failure failure;
};

// Where items come from: read one by one as they are begun, so that a large batch is not held twice.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Item `index`, asked for once: what to fetch, its URL having passed FetchStarter::CheckUrl; or why it cannot be, as
  // its result.
  virtual std::variant<FetchSpec, ItemFailure> Read(size_t index) = 0;
};

// Takes the results. All calls come on the home thread.
class BatchReceiver {
 public:
  virtual ~BatchReceiver() = default;
  // The result of item `index`, once for each: `fetched`, which may be taken apart, or null if it was skipped because
  // another item failed first. May come from inside a call into a fetch, so it only keeps the result.
  virtual void OnResult(size_t index, std::string_view fetch_id, Collected* fetched) = 0;
  // Bytes of results that wait to be sent.
  virtual size_t unsent_bytes() const = 0;
  // Sends a message of what waits, if it has anything to send now; true if so. At most once for each
  // BatchFetch::CallerReady, and once before the first. `all`: every result is there. Never from inside a call into the
  // BatchFetch, nor is OnEnd.
  virtual bool Send(bool all) = 0;
  // Exactly once, last; no fetch runs any more. Comes after the last results were taken, after Cancel, or with the
  // failure (kInternal) of an item that has no verdict: that is fetchd's fault, and ends the batch.
  virtual void OnEnd(std::optional<ItemFailure> broken) = 0;
};

// One FetchBatch call: exactly one result for each index, unless cancelled.
//
// Belongs to the home thread, where it is made and all its methods are called. Owned by the RPC, which keeps it until
// OnEnd; made by std::make_shared.
class BatchFetch : public std::enable_shared_from_this<BatchFetch> {
 public:
  // The references must outlive OnEnd.
  BatchFetch(BatchSpec spec, BatchSource& source, FetchStarter& starter, const Clock& clock, Executor home,
             BatchReceiver& receiver);
  BatchFetch(const BatchFetch&) = delete;
  BatchFetch& operator=(const BatchFetch&) = delete;

  // Begins. Once.
  void Start();
  // The caller has taken the previous results.
  void CallerReady();
  // Aborts everything in flight; nothing more is reported. Idempotent; harmless after OnEnd.
  void Cancel();

 private:
  class Item;

  // Posts Run, once: what completes in one round of the loop is reported together.
  void Schedule();
  void Run();
  void BeginItems();
  void Begin(size_t index, FetchSpec&& spec);
  void OnCollected(Item& item, Collected& collected);
  void Fail(size_t index, ItemFailure failure);
  void Report(size_t index, std::string_view fetch_id, Collected* fetched);
  void FailFast();
  void AbortRunning();
  void Flush();
  bool all_reported() const { return reported_ == spec_.items; }
  bool MayBegin() const {
    return running_count_ < spec_.max_concurrency && receiver_.unsent_bytes() < spec_.max_unsent_bytes;
  }

  const BatchSpec spec_;
  BatchSource& source_;
  FetchStarter& starter_;
  const Clock& clock_;
  const Executor home_;
  BatchReceiver& receiver_;

  bool scheduled_ = false;
  bool caller_ready_ = true;
  bool cancelled_ = false;
  bool failed_fast_ = false;
  bool ended_ = false;
  std::optional<ItemFailure> broken_;
  // Items below this index were begun or are settled.
  size_t next_to_begin_ = 0;
  // Results handed to the receiver.
  size_t reported_ = 0;
  // Items in flight, linked to each other. Whoever runs them owns them.
  Item* running_ = nullptr;
  size_t running_count_ = 0;
};

}  // namespace fetchd::server
