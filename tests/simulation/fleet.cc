#include "simulation/fleet.h"

#include <cmath>
#include <exception>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "net/event.h"

namespace fetchd::simulation {
namespace {

constexpr Duration kAfterFailure = std::chrono::seconds(1);

// Of the caller, who wants to know how it ended and nothing else.
class StatusSink final : public server::ResponseSink {
 public:
  explicit StatusSink(Executor executor) : never_(std::move(executor)) {}
  void OnHead(server::ResponseHead) override {}
  std::span<char> Prepare(size_t) override { return {}; }
  void Commit(size_t) override {}
  server::Event& Writable() override { return never_; }

 private:
  server::Event never_;
};

}  // namespace

Fleet::Fleet(const FleetModel& model, const World& world)
    : model_(model),
      world_(world),
      timer_(world.time.timers(), [this] { OnTimer(); }),
      later_(world.time.timers(), [this] {
        for (int n = std::exchange(owed_later_, 0); n > 0; --n) Begin();
      }) {
  for (int i = 0; i < model.callers; ++i) {
    server::FetchSpec& spec = specs_.emplace_back();
    spec.url = *server::Url::Parse("http://origin.test/");
    spec.caller = absl::StrCat(model.name, "-", i);
    spec.retry = model.retry;
    spec.timeouts = model.timeouts;
    spec.hedge = model.hedge;
    spec.priority = model.priority;
    spec.weight = model.weight;
  }
}

void Fleet::Start() {
  running_ = true;
  owed_ = model_.open;
  timer_.Arm(world_.time.Now());
}

void Fleet::Stop() {
  running_ = false;
  timer_.Disarm();
  later_.Disarm();
}

void Fleet::OnTimer() {
  if (model_.open > 0) {
    for (int n = std::exchange(owed_, 0); n > 0; --n) Begin();
    return;
  }
  Begin();
  const double chance = model_.evenly ? 1 : -std::log(1 - world_.random.NextDouble());
  timer_.Arm(world_.time.Now() + Duration(static_cast<int64_t>(1e9 * chance / model_.per_second)));
}

void Fleet::Begin() {
  size_t caller = next_caller_++ % specs_.size();
  if (!model_.evenly && model_.open == 0) caller = world_.random() % specs_.size();
  tally_.OnBegin();
  ++world_.timeline.At(world_.time.Now()).offered;
  server::Spawn(world_.time.executor(), Fetch(*this, specs_[caller]), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
}

void Fleet::OnEnd(const FetchEnd& end) {
  tally_.OnEnd(end);
  if (!running_ || model_.open == 0) return;
  if (end.ok()) {
    ++owed_;
    timer_.Arm(world_.time.Now());
  } else {
    ++owed_later_;
    if (!later_.armed()) later_.Arm(world_.time.Now() + kAfterFailure);
  }
}

server::Task<void> Fleet::Fetch(Fleet& fleet, const server::FetchSpec& spec) {
  VirtualTime& time = fleet.world_.time;
  FetchEnd end{.began = time.Now(), .ended = {}};
  {
    // As fetch/fetcher.cc does it.
    server::CancelScope scope(time.clock(), time.timers(), server::After(end.began, spec.timeouts.total),
                              server::FailureCode::kTotalTimeout);
    StatusSink sink(time.executor());
    server::FetchContext context(spec, nullptr, sink, fleet.world_.origin, scope);
    context.now = end.began;
    server::AttemptOutcome outcome = co_await fleet.world_.service.Call(context);
    end.ended = time.Now();
    end.waited = context.record.phases.queue.value_or(Duration::zero());
    end.status = context.status;
    end.attempts = context.attempts;
    if (outcome.failure) end.failure = static_cast<uint8_t>(outcome.failure->code);
    Second& second = fleet.world_.timeline.At(end.ended);
    const bool left = !outcome.failure || outcome.failure->processed != server::Processed::kNo ||
                      outcome.failure->phase == server::Phase::kConnect;
    ++(end.ok() ? second.succeeded : left ? second.failed : second.refused);
  }
  fleet.OnEnd(end);
}

}  // namespace fetchd::simulation
