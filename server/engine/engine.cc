#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "engine/connection_pool.h"
#include "engine/service.h"
#include "guard/address_guard.h"
#include "net/dialing_connector.h"
#include "net/dialler.h"
#include "net/resolver.h"

namespace fetchd::server {
namespace {

// A real connector with all it needs, for one engine thread.
class NetStack final : public Connector {
 public:
  NetStack(EngineThread& thread, std::unique_ptr<Resolver> resolver, const AddressGuard& guard, const TlsContext& tls)
      : resolver_(std::move(resolver)),
        dialler_(thread.executor()),
        connector_(thread.options().connector, thread.executor(), *resolver_, guard, dialler_, tls, thread.random(),
                   thread.metrics()) {}

  Task<ConnectResult> Connect(ConnectTarget target, CancelScope& scope) override {
    return connector_.Connect(std::move(target), scope);
  }
  Task<ResolveResult> Resolve(std::string host, CancelScope& scope) override {
    return resolver_->Resolve(std::move(host), scope);
  }

 private:
  std::unique_ptr<Resolver> resolver_;
  TcpDialler dialler_;
  DialingConnector connector_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(EngineOptions options, const AddressGuard& guard,
                                                       const Clock& clock) {
  std::unique_ptr<Engine> engine(new Engine());
  absl::StatusOr<std::unique_ptr<TlsContext>> tls = TlsContext::Create(options.tls);
  if (!tls.ok()) return tls.status();
  engine->tls_ = *std::move(tls);
  absl::Status status;
  EngineThread::ConnectorFactory make = [&](EngineThread& thread) -> std::unique_ptr<Connector> {
    auto resolver = Resolver::Create(options.resolver, thread.executor(), clock, thread.timers(), thread.metrics());
    if (!resolver.ok()) {
      status = resolver.status();
      return nullptr;
    }
    return std::make_unique<NetStack>(thread, *std::move(resolver), guard, *engine->tls_);
  };
  for (int i = 0; i < std::clamp(options.threads, 1, 64); ++i) {
    engine->threads_.push_back(std::make_unique<EngineThread>(static_cast<size_t>(i), options, clock, make));
    if (!status.ok()) return status;
    engine->threads_.back()->WaitFor(engine->roamers_);
  }
  return engine;
}

Engine::~Engine() { Stop(); }

void Engine::Start(size_t first) {
  for (size_t i = first; i < threads_.size(); ++i)
    running_.emplace_back([thread = threads_[i].get()] { thread->Run(); });
}

void Engine::OnRoamerEnded() {
  // Stop writes and reads in the other order, so one of the two sees that nothing is left to wait for.
  if (roamers_.fetch_sub(1) > 1 || !stopping_.load()) return;
  for (auto& thread : threads_) thread->OnRoamersEnded();
}

void Engine::Stop() {
  stopping_.store(true);
  for (auto& thread : threads_) thread->Stop();
  for (std::thread& thread : running_) thread.join();
  running_.clear();
}

EngineThread& Engine::OwnerOf(const Origin& origin) {
  if (threads_.size() == 1) return *threads_[0];
  return *threads_[absl::Hash<Origin>()(origin) % threads_.size()];
}

}  // namespace fetchd::server
