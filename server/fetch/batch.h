// FetchBatch: many independent fetches at the caller's pace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
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
  // Items in flight at once, at least 1.
  size_t max_concurrency = 100;
  // When the last result must be there: the RPC deadline less its margin. Items in flight have it in their own spec;
  // those not begun by then end with TOTAL_TIMEOUT.
  Instant deadline = kNever;
  // Results are put together up to this size; one result alone may be larger.
  size_t max_message_bytes = 3'500 * 1024;
  // Nothing new is begun while results of this size wait for the caller.
  size_t max_unsent_bytes = 8 * 1024 * 1024;
};

// Where items come from: read one by one as they are begun, so that a large batch is not held twice.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Item `index`, asked for once: what to fetch, its URL having passed FetchStarter::CheckUrl; or why it cannot be, as
  // its result.
  virtual std::variant<FetchSpec, Collected> Read(size_t index) = 0;
};

// The result of one item.
struct BatchItemResult {
  size_t index = 0;
  // Unset: skipped because another item failed first.
  std::optional<Collected> fetched;
};

// Takes the results. All calls come on the home thread, and never from inside a call into the BatchFetch.
class BatchReceiver {
 public:
  virtual ~BatchReceiver() = default;
  // At least one result, ready together; `last` says that these are the last ones. At most once for each
  // BatchFetch::CallerReady, and once before the first.
  virtual void OnResults(std::vector<BatchItemResult> results, bool last) = 0;
  // Exactly once, last; no fetch runs any more. Comes after the last results were taken, after Cancel, or with the
  // failure (kInternal) of an item that has no verdict: that is fetchd's fault, and ends the batch.
  virtual void OnEnd(std::optional<Collected> broken) = 0;
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
  // Posts Run, once: what completes in one round of the loop is reported together.
  void Schedule();
  void Run();
  void BeginItems();
  void Begin(size_t index, FetchSpec spec);
  void OnCollected(size_t index, Collected collected);
  void Report(BatchItemResult result);
  void AbortRunning();
  void Flush();
  // The result that is to be sent next, if it is there.
  BatchItemResult* NextReady();
  bool MayBegin() const { return running_.size() < spec_.max_concurrency && unsent_bytes_ < spec_.max_unsent_bytes; }

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
  std::optional<Collected> broken_;
  // Items below this index were begun or are settled.
  size_t next_to_begin_ = 0;
  // Results handed to the receiver.
  size_t sent_ = 0;
  absl::flat_hash_map<size_t, std::shared_ptr<CollectingCall>> running_;
  // Results that wait: by completion, or by index in input order.
  std::deque<BatchItemResult> ready_;
  absl::flat_hash_map<size_t, BatchItemResult> ready_by_index_;
  size_t unsent_bytes_ = 0;
};

}  // namespace fetchd::server
