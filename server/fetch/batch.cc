#include "fetch/batch.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace fetchd::server {
namespace {

// Items begun in one round, so that a large batch does not hold up the other calls of the loop.
constexpr size_t kBeginAtOnce = 64;

size_t SizeOf(const BatchItemResult& result) { return result.fetched ? result.fetched->ReplySize() : 128; }

}  // namespace

BatchFetch::BatchFetch(BatchSpec spec, BatchSource& source, FetchStarter& starter, const Clock& clock, Executor home,
                       BatchReceiver& receiver)
    : spec_(spec), source_(source), starter_(starter), clock_(clock), home_(home), receiver_(receiver) {}

void BatchFetch::Start() { Schedule(); }

void BatchFetch::CallerReady() {
  caller_ready_ = true;
  Schedule();
}

void BatchFetch::Cancel() {
  if (cancelled_ || ended_) return;
  cancelled_ = true;
  AbortRunning();
  Schedule();
}

void BatchFetch::Schedule() {
  if (scheduled_ || ended_) return;
  scheduled_ = true;
  asio::post(home_, [self = shared_from_this()] {
    self->scheduled_ = false;
    self->Run();
  });
}

void BatchFetch::Run() {
  if (ended_) return;
  if (!cancelled_) {
    BeginItems();
    Flush();
  }
  const bool over = cancelled_ || (sent_ == spec_.items && caller_ready_);
  if (!over || !running_.empty()) return;
  ended_ = true;
  receiver_.OnEnd(std::move(broken_));
}

void BatchFetch::BeginItems() {
  size_t begun = 0;
  while (next_to_begin_ < spec_.items && !cancelled_) {
    if (failed_fast_) {
      Report({next_to_begin_++, std::nullopt});
      continue;
    }
    if (!MayBegin()) return;
    if (++begun > kBeginAtOnce) return Schedule();
    const size_t index = next_to_begin_++;
    std::variant<FetchSpec, Collected> item = source_.Read(index);
    if (auto* refused = std::get_if<Collected>(&item)) {
      OnCollected(index, std::move(*refused));
      continue;
    }
    FetchSpec& spec = std::get<FetchSpec>(item);
    if (clock_.Now() < spec_.deadline) {
      Begin(index, std::move(spec));
      continue;
    }
    Collected late;
    late.id = std::move(spec.id);
    late.redacted_url = spec.url.Redacted();
    late.outcome.failure = Failure{.code = FailureCode::kTotalTimeout,
                                   .phase = Phase::kQueue,
                                   .processed = Processed::kNo,
                                   .detail = "the RPC's deadline came before this item was begun"};
    OnCollected(index, std::move(late));
  }
}

void BatchFetch::Begin(size_t index, FetchSpec spec) {
  auto call = std::make_shared<CollectingCall>(home_, [this, index](Collected collected) {
    // `this` lives: OnEnd, until which the RPC keeps it, comes only when nothing runs.
    OnCollected(index, std::move(collected));
  });
  call->spec = std::move(spec);
  call->rpc = "FetchBatch";
  running_.emplace(index, call);
  starter_.Start(std::move(call));
}

void BatchFetch::OnCollected(size_t index, Collected collected) {
  running_.erase(index);
  Schedule();
  if (cancelled_) return;
  const std::optional<Failure>& failure = collected.outcome.failure;
  if (failure && failure->code == FailureCode::kInternal) {
    broken_ = std::move(collected);
    return Cancel();
  }
  if (failure && failure->code == FailureCode::kCancelled) return Report({index, std::nullopt});
  const bool failed = failure.has_value();
  Report({index, std::move(collected)});
  if (!failed || !spec_.fail_fast || failed_fast_) return;
  failed_fast_ = true;
  AbortRunning();
}

void BatchFetch::Report(BatchItemResult result) {
  unsent_bytes_ += SizeOf(result);
  if (spec_.input_order) {
    const size_t index = result.index;
    ready_by_index_.emplace(index, std::move(result));
  } else {
    ready_.push_back(std::move(result));
  }
}

void BatchFetch::AbortRunning() {
  // A call may end, and leave running_, from inside Cancel.
  std::vector<std::shared_ptr<CollectingCall>> calls;
  calls.reserve(running_.size());
  for (const auto& [index, call] : running_) calls.push_back(call);
  for (const auto& call : calls) starter_.Cancel(call);
}

BatchItemResult* BatchFetch::NextReady() {
  if (!spec_.input_order) return ready_.empty() ? nullptr : &ready_.front();
  const auto it = ready_by_index_.find(sent_);
  return it == ready_by_index_.end() ? nullptr : &it->second;
}

void BatchFetch::Flush() {
  if (!caller_ready_ || cancelled_) return;
  std::vector<BatchItemResult> results;
  size_t bytes = 0;
  while (BatchItemResult* next = NextReady()) {
    const size_t size = SizeOf(*next);
    if (!results.empty() && bytes + size > spec_.max_message_bytes) break;
    bytes += size;
    results.push_back(std::move(*next));
    if (spec_.input_order) {
      ready_by_index_.erase(sent_);
    } else {
      ready_.pop_front();
    }
    ++sent_;
  }
  if (results.empty()) return;
  unsent_bytes_ -= bytes;
  caller_ready_ = false;
  // Room was made: more may begin while the message is on its way.
  if (next_to_begin_ < spec_.items) Schedule();
  receiver_.OnResults(std::move(results), sent_ == spec_.items);
}

}  // namespace fetchd::server
