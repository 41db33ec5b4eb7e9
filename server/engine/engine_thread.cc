#include "engine/engine_thread.h"

#include <boost/asio/post.hpp>

#include "engine/connection_pool.h"
#include "engine/make_service.h"
#include "engine/origin_state.h"
#include "engine/service.h"
#include "net/connector.h"
#include "net/driven_loop.h"

namespace fetchd::server {
namespace {

thread_local EngineThread* current = nullptr;

}  // namespace

EngineThread::EngineThread(size_t index, const EngineOptions& options, const Clock& clock,
                           const ConnectorFactory& make_connector)
    : index_(index),
      options_(options),
      clock_(clock),
      random_(Random::Seed()),
      io_(1),
      tasks_(SpawnedTasks::Of(io_.get_executor())),
      work_(io_.get_executor()),
      wake_(io_.get_executor()) {
  timers_.OnEarlier([this](Instant at) { WakeAt(at); });
  connector_ = make_connector(*this);
  origins_ = std::make_unique<OriginTable>(
      options_.origins, options_.policies != nullptr ? *options_.policies : default_policies_,
      static_cast<int>(options_.pool.max_per_origin), clock_, timers_, random_, metrics_);
  pool_ = std::make_unique<ConnectionPool>(options_.pool, executor(), clock_, timers_, random_, *connector_, *origins_,
                                           metrics_);
  pool_->OnLessToEnd([this] { EndIfDone(); });
  service_ = MakeService(*this);
}

EngineThread::~EngineThread() {
  // A loop driven from outside does not say when it has ended; its driver's thread must not seem to own what comes next
  // at this address.
  if (current == this) current = nullptr;
}

void EngineThread::Adopt() {
  current = this;
  origins_->Adopt();
}

void EngineThread::Run() {
  Adopt();
  runs_here_ = true;
  DrivenLoop(io_, DrivenLoop::CoresFor(options_.threads)).Run();
  current = nullptr;
}

void EngineThread::Stop() {
  asio::post(io_, [this] {
    stopping_ = true;
    pool_->Close();
    EndIfDone();
  });
}

void EngineThread::OnRoamersEnded() {
  asio::post(io_, [this] { EndIfDone(); });
}

EngineThread* EngineThread::Current() { return current; }

void EngineThread::OnFetchBegan() { ++fetches_; }

void EngineThread::OnFetchEnded() {
  --fetches_;
  EndIfDone();
}

void EngineThread::EndIfDone() {
  if (!stopping_ || fetches_ > 0 || pool_->to_end() > 0) return;
  if (roamers_ != nullptr && roamers_->load() > 0) return;
  origins_->DropUnused();
  work_.reset();
  // The resolver may still wait for an answer that nobody needs.
  if (runs_here_) io_.stop();
  // A wake-up for a timer that was disarmed since would keep a loop that ends by itself.
  if (timers_.Next() == kNever) {
    wake_.cancel();
    wake_at_ = kNever;
  }
}

void EngineThread::WakeAt(Instant at) {
  // A wake-up that comes too early costs less than a system call to move it.
  if (at >= wake_at_) return;
  wake_at_ = at;
  wake_.expires_at(at);
  wake_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnWake();
  });
}

void EngineThread::OnWake() {
  wake_at_ = kNever;
  timers_.RunExpired(clock_.Now());
  if (timers_.Next() != kNever) WakeAt(timers_.Next());
}

}  // namespace fetchd::server
