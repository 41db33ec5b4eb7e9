#include "fetch/batch.h"

#include <boost/asio/post.hpp>
#include <utility>
#include <vector>

#include "base/recycler.h"

namespace fetchd::server {
namespace {

// Items begun in one round, so that a large batch does not hold up the other calls of the loop.
constexpr size_t kBeginAtOnce = 64;

}  // namespace

// The fetch of one item. In the list of those that run from when it is made until it is collected.
class BatchFetch::Item final : public CollectingCall {
 public:
  Item(BatchFetch& batch, size_t index)
      : CollectingCall(batch.home_), batch_(batch), index_(index), next_(batch.running_), link_(&batch.running_) {
    if (next_ != nullptr) next_->link_ = &next_;
    batch.running_ = this;
    ++batch.running_count_;
  }
  size_t index() const { return index_; }
  Item* next() const { return next_; }
  void Unlink() {
    *link_ = next_;
    if (next_ != nullptr) next_->link_ = link_;
    --batch_.running_count_;
  }

 private:
  // The batch lives: OnEnd, until which the RPC keeps it, comes only when nothing runs.
  void OnCollected(Collected& collected) override { batch_.OnCollected(*this, collected); }

  BatchFetch& batch_;
  const size_t index_;
  Item* next_;
  Item** link_;
};

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
  const bool over = cancelled_ || (all_reported() && caller_ready_ && receiver_.unsent_bytes() == 0);
  if (!over || running_ != nullptr) return;
  ended_ = true;
  receiver_.OnEnd(std::move(broken_));
}

void BatchFetch::BeginItems() {
  size_t begun = 0;
  while (next_to_begin_ < spec_.items && !cancelled_) {
    if (failed_fast_) {
      Report(next_to_begin_++, {}, nullptr);
      continue;
    }
    if (!MayBegin()) return;
    if (++begun > kBeginAtOnce) return Schedule();
    const size_t index = next_to_begin_++;
    std::variant<FetchSpec, ItemFailure> item = source_.Read(index);
    if (auto* refused = std::get_if<ItemFailure>(&item)) {
      Fail(index, std::move(*refused));
      continue;
    }
    FetchSpec& spec = std::get<FetchSpec>(item);
    if (clock_.Now() < spec_.deadline) {
      Begin(index, std::move(spec));
      continue;
    }
    Fail(index, {.fetch_id = std::move(spec.id),
                 .redacted_url = spec.url.Redacted(),
                 .failure = {.code = FailureCode::kTotalTimeout,
                             .phase = Phase::kQueue,
                             .processed = Processed::kNo,
                             .detail = "the RPC's deadline came before this item was begun"}});
  }
}

void BatchFetch::Begin(size_t index, FetchSpec&& spec) {
  auto item = std::allocate_shared<Item>(RecyclingAllocator<Item>(), *this, index);
  item->spec = std::move(spec);
  item->rpc = "FetchBatch";
  starter_.Start(std::move(item));
}

void BatchFetch::OnCollected(Item& item, Collected& collected) {
  item.Unlink();
  Schedule();
  if (cancelled_) return;
  std::optional<Failure>& failure = collected.outcome.failure;
  if (failure && failure->code == FailureCode::kInternal) {
    broken_ = ItemFailure{item.spec.id, std::move(collected.redacted_url), *std::move(failure)};
    return Cancel();
  }
  if (failure && failure->code == FailureCode::kCancelled) return Report(item.index(), {}, nullptr);
  const bool failed = failure.has_value();
  Report(item.index(), item.spec.id, &collected);
  if (failed) FailFast();
}

void BatchFetch::Fail(size_t index, ItemFailure failure) {
  Schedule();
  Collected collected;
  collected.redacted_url = std::move(failure.redacted_url);
  collected.outcome.failure = std::move(failure.failure);
  Report(index, failure.fetch_id, &collected);
  FailFast();
}

void BatchFetch::Report(size_t index, std::string_view fetch_id, Collected* fetched) {
  ++reported_;
  receiver_.OnResult(index, fetch_id, fetched);
}

void BatchFetch::FailFast() {
  if (!spec_.fail_fast || failed_fast_) return;
  failed_fast_ = true;
  AbortRunning();
}

void BatchFetch::AbortRunning() {
  // An item may end, and leave the list, from inside Cancel.
  std::vector<std::shared_ptr<FetchCall>> calls;
  calls.reserve(running_count_);
  for (Item* item = running_; item != nullptr; item = item->next()) calls.push_back(item->shared_from_this());
  for (const auto& call : calls) starter_.Cancel(call);
}

void BatchFetch::Flush() {
  if (!caller_ready_ || cancelled_ || !receiver_.Send(all_reported())) return;
  caller_ready_ = false;
  // Room was made: more may begin while the message is on its way.
  if (next_to_begin_ < spec_.items) Schedule();
}

}  // namespace fetchd::server
